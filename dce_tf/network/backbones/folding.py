"""Frozen batch norm as part of the convolution before it: the same numbers, sooner.

With statistics that stay, norm(conv(x)) = conv′(x), whose kernel is multiplied by
γ / √(variance + ε) and whose bias is the rest. Kernel, γ and β get the gradients they
had; the feature maps are gone through once less, forwards and backwards.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf
from keras import layers, ops

Operation = Callable[..., Any]


class FoldedBackbone:
    """Runs a backbone with its batch norm frozen; its layers stay as they are.

    Convolutions of 1×1 become matrix products while training on a CPU: their gradients
    then take half the time.

    Args:
        backbone: Any model; one that is no graph of layers is called as it is.
    """

    def __init__(self, backbone: keras.Model) -> None:
        self._backbone = backbone
        self._norms = dict(_pairs(backbone))
        self._gone = {id(norm) for norm in self._norms.values()}
        self._on_cpu = not tf.config.list_physical_devices("GPU")

    @property
    def num_folded(self) -> int:
        """How many norms were taken in."""
        return len(self._norms)

    def __call__(self, images: Any, training: bool = False) -> Any:
        """Returns what `backbone(images, training=False)` does.

        Args:
            images: Float tensor `(batch, height, width, 3)`.
            training: Whether gradients will be asked for.
        """
        if not self._norms:
            return self._backbone(images, training=False)
        return self._run(self._backbone, images, training)

    def _run(self, model: keras.Model, images: Any, training: bool) -> Any:
        outputs = model._run_through_graph(
            images, operation_fn=lambda layer: self._operation(layer, training)
        )
        return outputs[0] if isinstance(outputs, list) else outputs

    def _operation(self, layer: Any, training: bool) -> Operation:
        """Returns what to call in place of a layer."""
        if id(layer) in self._gone:
            return lambda maps, **_: maps
        if id(layer) in self._norms:
            norm, as_product = self._norms[id(layer)], training and self._on_cpu
            return lambda maps, **_: _convolve(maps, layer, norm, as_product)
        if _is_graph(layer):
            return lambda maps, **_: self._run(layer, maps, training)
        if "training" in getattr(layer, "_call_context_args", ()):
            return lambda *args, **kwargs: layer(*args, **{**kwargs, "training": False})
        return layer


def _is_graph(model: Any) -> bool:
    return (
        hasattr(model, "_run_through_graph")
        and len(model.inputs) == len(model.outputs) == 1
    )


def _pairs(model: keras.Model) -> Iterator[tuple[int, Any]]:
    """Yields the identity of each convolution that can be folded, and its norm."""
    if not _is_graph(model):
        return
    readers = _readers(model)
    for layer in model.operations:
        if _is_graph(layer):
            yield from _pairs(layer)
        elif _is_plain_convolution(layer):
            after = readers[id(layer._inbound_nodes[0].output_tensors[0])]
            if len(after) == 1 and _is_plain_norm(after[0]):
                yield id(layer), after[0]


def _readers(model: keras.Model) -> dict[int, list[Any]]:
    """Returns which layers take each tensor, by its identity."""
    readers: dict[int, list[Any]] = collections.defaultdict(list)
    for layer in model.operations:
        for node in layer._inbound_nodes:
            for tensor in node.input_tensors:
                readers[id(tensor)].append(layer)
    return readers


def _is_plain_convolution(layer: Any) -> bool:
    return (
        type(layer) in (layers.Conv2D, layers.DepthwiseConv2D)
        and len(layer._inbound_nodes) == 1
        and layer.data_format == "channels_last"
        and layer.activation is keras.activations.linear
    )


def _is_plain_norm(layer: Any) -> bool:
    return (
        type(layer) is layers.BatchNormalization
        and len(layer._inbound_nodes) == 1
        and layer.axis in (-1, 3)
    )


def _convolve(maps: Any, layer: Any, norm: Any, as_product: bool) -> Any:
    """Applies a convolution and the norm after it."""
    scale, shift = _scale_and_shift(layer, norm)
    depthwise = isinstance(layer, layers.DepthwiseConv2D)
    kernel = _kernel(layer)
    width = tf.shape(scale)[0]
    # The channels of a depthwise kernel are its last two axes.
    kernel *= tf.reshape(scale, kernel.shape[2:]) if depthwise else scale
    dtype = layer.compute_dtype
    maps, kernel, shift = (tf.cast(value, dtype) for value in (maps, kernel, shift))
    strides = tuple(layer.strides)
    pointwise = kernel.shape[:2] == (1, 1) and kernel.shape[2] == maps.shape[-1]
    if as_product and pointwise and not depthwise:
        if max(strides) > 1:
            maps = maps[:, :: strides[0], :: strides[1]]
        rows = tf.matmul(tf.reshape(maps, (-1, maps.shape[-1])), kernel[0, 0])
        rows = tf.nn.bias_add(rows, shift)
        return tf.reshape(rows, (*tf.unstack(tf.shape(maps)[:3]), width))
    if depthwise:
        convolved = ops.depthwise_conv(
            maps,
            kernel,
            strides=strides,
            padding=layer.padding,
            data_format="channels_last",
            dilation_rate=layer.dilation_rate,
        )
    else:
        convolved = layer.convolution_op(maps, kernel)
    return tf.nn.bias_add(convolved, shift)


def _kernel(layer: Any) -> Any:
    """Returns the kernel, with the low-rank adapter that may change it."""
    if not getattr(layer, "lora_enabled", False):
        return _value(layer.kernel)
    product = tf.matmul(_value(layer.lora_kernel_a), _value(layer.lora_kernel_b))
    return _value(layer._kernel) + layer.lora_alpha / layer.lora_rank * product


def _scale_and_shift(layer: Any, norm: Any) -> tuple[Any, Any]:
    scale = tf.math.rsqrt(_value(norm.moving_variance) + norm.epsilon)
    if norm.scale:
        scale *= _value(norm.gamma)
    mean = _value(norm.moving_mean)
    shift = (_value(layer.bias) - mean if layer.use_bias else -mean) * scale
    return scale, shift + _value(norm.beta) if norm.center else shift


def _value(variable: Any) -> Any:
    # As Keras has it, which an export may have put in place of the variable; in its own
    # dtype, also within a layer that computes in fewer bits.
    return tf.convert_to_tensor(tf.cast(variable.value, variable.dtype))
