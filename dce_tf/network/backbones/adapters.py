"""Low-rank adapters: a few weights that train in place of those of a backbone.

A dense layer or a 1×1 convolution with the kernel W computes with W + α/r · A·B, of
which only A and B train, r wide (Hu et al., "LoRA: Low-rank adaptation of large
language models", ICLR 2022). Keras' own layers do so (`enable_lora`); what is here
chooses them, freezes the rest, makes plain layers of them for a file, and stores A and
B alone.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from dce_tf.base.errors import UsageError


def add_adapters(backbone: keras.Model, rank: int, alpha: float | None = None) -> None:
    """Gives adapters to the layers that train, and freezes all other weights.

    Takes an adapter: a dense or einsum-dense layer, or a convolution of 1×1 in one
    group, both sides of whose kernel are wider than the rank. B begins at 0, so that
    the network computes what it did.

    Args:
        backbone: Changed in place.
        rank: Width of A and B, 1 or more.
        alpha: Their product counts alpha / rank times; default: once.

    Raises:
        UsageError: If no layer that trains takes one, or some have adapters already.
    """
    if adapted_layers(backbone):
        raise UsageError(
            f"--lora_rank={rank}: {backbone.name} has low-rank adapters already. Save "
            "it with plain layers first, or leave the flag out to train those."
        )
    able = [layer for layer in backbone._flatten_layers() if _is_able(layer)]
    layers = [layer for layer in able if rank <= _widest_rank(layer)]
    if not layers:
        _refuse(backbone, rank, able)
    for variable in backbone.variables:
        variable.trainable = False
    for layer in layers:
        layer.enable_lora(rank, lora_alpha=alpha)


def _refuse(backbone: keras.Model, rank: int, able: list[Any]) -> None:
    if able:
        most = max(map(_widest_rank, able))
        raise UsageError(
            f"--lora_rank={rank} must be below both sides of a kernel that it adapts, "
            f"and {backbone.name} has none so wide. Use at most --lora_rank={most}."
        )
    raise UsageError(
        f"--lora_rank={rank} adapts dense layers and 1×1 convolutions, and of those "
        f"{backbone.name} has none that trains. Leave it out and train the last block "
        "with --trainable_blocks=1, or use a backbone of transformer blocks or of "
        "1×1 convolutions, such as EfficientNet."
    )


def _is_able(layer: Any) -> bool:
    layers = keras.layers
    if isinstance(layer, layers.Conv2D):
        able = layer.kernel_size == (1, 1) and layer.groups == 1
    else:
        able = isinstance(layer, layers.Dense | layers.EinsumDense)
    able = able and layer.built and layer.trainable and layer.kernel_constraint is None
    return able and _widest_rank(layer) > 0


def _widest_rank(layer: Any) -> int:
    """Returns the largest rank that is low for a layer."""
    *before, last = layer._kernel.shape
    return min(math.prod(before), last) - 1


def adapted_layers(model: keras.Model) -> list[Any]:
    """Returns the layers that have adapters, in the order of the model's weights.

    It is the same in any model around this one, where Keras would turn it round.
    """
    place = {id(variable): number for number, variable in enumerate(model.variables)}
    found = [
        layer
        for layer in model._flatten_layers()
        if getattr(layer, "lora_enabled", False)
    ]
    return sorted(found, key=lambda layer: place[id(layer._kernel)])


@contextlib.contextmanager
def merged_adapters(model: keras.Model) -> Iterator[None]:
    """Makes plain layers of those with adapters, for a while; they compute the same.

    Keras itself would write the sum in the precision that a layer computes in, and
    adapters into the settings of each layer.
    """
    layers = adapted_layers(model)
    kept = [(each, _array(each._kernel), _settings_of(each)) for each in layers]
    try:
        for layer, kernel, _ in kept:
            scale = layer.lora_alpha / layer.lora_rank
            product = _array(layer.lora_kernel_a) @ _array(layer.lora_kernel_b)
            layer._kernel.assign(kernel + np.float32(scale) * product)
            layer.lora_enabled, layer.lora_rank, layer.lora_alpha = False, None, None
        yield
    finally:
        for layer, kernel, (enabled, rank, alpha) in kept:
            layer._kernel.assign(kernel)
            layer.lora_enabled, layer.lora_rank, layer.lora_alpha = enabled, rank, alpha


def _settings_of(layer: Any) -> tuple[bool, int, float]:
    return layer.lora_enabled, layer.lora_rank, layer.lora_alpha


def write_adapters(model: keras.Model, path: Path) -> None:
    """Writes the adapters alone as safetensors.

    The layers are numbered as `adapted_layers` of the backbone has them:
    `0007/query/lora_kernel_a` is the matrix A of the eighth that has an adapter. The
    metadata have `lora_rank` and `lora_alpha`.

    Args:
        model: Has adapters.
        path: Of the file.
    """
    layers = adapted_layers(model)
    arrays = {
        f"{number:04d}/{layer.name}/{name}": np.ascontiguousarray(_array(variable))
        for number, layer in enumerate(layers)
        for name, variable in (
            ("lora_kernel_a", layer.lora_kernel_a),
            ("lora_kernel_b", layer.lora_kernel_b),
        )
    }
    first = layers[0]
    facts = {"lora_rank": first.lora_rank, "lora_alpha": first.lora_alpha}
    save_file(arrays, path, {name: str(value) for name, value in facts.items()})


def _array(variable: Any) -> npt.NDArray[np.float32]:
    return np.asarray(keras.ops.convert_to_numpy(variable))
