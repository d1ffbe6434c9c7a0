"""EfficientNet-Lite0 in plain Keras layers, with random weights."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

# Kernel, stride, expansion, width and repeats of each stage (Tan and Le, ICML 2019);
# Lite0 has neither squeeze-and-excitation nor swish.
_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
_STEM, _HEAD = 32, 1280


def build_lite0(image_size: int) -> keras.Model:
    """Builds the network without its classifier, from 0–255 RGB to a feature map."""
    images = keras.Input((image_size, image_size, 3))
    outputs = layers.Rescaling(1 / 128, -127 / 128)(images)
    outputs = _convolve(outputs, _STEM, 3, 2)
    for kernel, stride, expansion, width, repeats in _STAGES:
        for repeat in range(repeats):
            step = stride if repeat == 0 else 1
            outputs = _block(outputs, kernel, step, expansion, width)
    return keras.Model(images, _convolve(outputs, _HEAD, 1, 1))


def _convolve(
    inputs: Any, width: int, kernel: int, stride: int, active: bool = True
) -> Any:
    convolution = layers.Conv2D(width, kernel, stride, "same", use_bias=False)
    outputs = layers.BatchNormalization(epsilon=1e-3)(convolution(inputs))
    return layers.ReLU(6.0)(outputs) if active else outputs


def _block(inputs: Any, kernel: int, stride: int, expansion: int, width: int) -> Any:
    channels = inputs.shape[-1]
    outputs = inputs
    if expansion > 1:
        outputs = _convolve(outputs, channels * expansion, 1, 1)
    depthwise = layers.DepthwiseConv2D(kernel, stride, "same", use_bias=False)
    outputs = layers.BatchNormalization(epsilon=1e-3)(depthwise(outputs))
    outputs = _convolve(layers.ReLU(6.0)(outputs), width, 1, 1, active=False)
    if stride == 1 and channels == width:
        outputs = layers.Add()([inputs, outputs])
    return outputs
