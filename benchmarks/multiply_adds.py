"""Counting the multiply-adds of a network, from its graph."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

_CONVOLUTIONS = ("Conv2D", "DepthwiseConv2dNative")


def count_multiply_adds(model: Any, image_size: int) -> int:
    """Returns the multiply-adds of convolutions and matrix products, for one image.

    Args:
        model: A Keras model of images `(batch, height, width, 3)`.
        image_size: Their side in pixels.

    Raises:
        ValueError: If it has neither: it then computes with ops that do not count.
    """
    shape = tf.TensorSpec((1, image_size, image_size, 3))
    traced = tf.function(lambda images: model(images, training=False))
    operations = traced.get_concrete_function(shape).graph.get_operations()
    total = sum(_multiply_adds(operation) for operation in operations)
    if not total:
        raise ValueError(f"{model.name} has no convolution and no matrix product.")
    return total


def _multiply_adds(operation: Any) -> int:
    if operation.type in _CONVOLUTIONS:
        kernel = operation.inputs[1].shape
        height, width = operation.outputs[0].shape[1:3]
        return math.prod(kernel) * height * width
    if operation.type == "MatMul":
        return math.prod(operation.inputs[1].shape) * operation.outputs[0].shape[0]
    return 0
