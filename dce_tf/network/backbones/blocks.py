"""The blocks a network is made of: which train, and which are computed twice."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from dce_tf.base.errors import UsageError

# "conv5_block3_out" → "conv5_block3", "block6a_expand" → "block6a",
# "layer4_block2_conv1" → "layer4_block2", "transformer_block_11" → itself.
_BLOCK = re.compile(
    r"^.*?(?:block|layers?|stage|stack)_?\d+[a-z]?(?:_block_?\d+[a-z]?)?"
)


def train_last_blocks(backbone: keras.Model, count: int | None) -> None:
    """Makes only the last blocks of a network trainable.

    A block is what shares a numbered name, such as `conv5_block3`. A layer before the
    first of them is a block of its own; layers after one that have no such name, such
    as a final norm, count to it. Layers without weights count to none.

    Args:
        backbone: Changed in place.
        count: How many blocks train; 0 freezes all, None leaves all as they are.

    Raises:
        UsageError: If there are fewer blocks.
    """
    if count is None:
        return
    blocks = find_blocks(backbone)
    if count > len(blocks):
        raise UsageError(
            f"--trainable_blocks={count}: this backbone has {len(blocks)} blocks. Use "
            f"at most --trainable_blocks={len(blocks)}, or leave the flag out to train "
            "everything."
        )
    for block in blocks[: len(blocks) - count]:
        for layer in block:
            layer.trainable = False


def find_blocks(backbone: keras.Model) -> list[list[keras.layers.Layer]]:
    """Returns the layers that have weights, block by block, the first one first."""
    blocks: dict[str, list[keras.layers.Layer]] = {}
    last = None
    for layer in _parts(backbone.layers):
        if layer.weights:
            found = _BLOCK.match(layer.name)
            name = last = found.group() if found else last
            blocks.setdefault(name or layer.name, []).append(layer)
    return list(blocks.values())


def checkpoint_blocks(backbone: keras.Model) -> None:
    """Makes transformer blocks compute again, for the gradient, what is inside them.

    Only what goes from block to block is kept: memory for time (Chen et al., "Training
    deep nets with sublinear memory cost", 2016). `keras.RematScope` would do it, but
    fails inside a `tf.function` in Keras 3.15 wherever a layer is called with keywords.

    Args:
        backbone: Changed in place.

    Raises:
        UsageError: If it has no blocks that are layers made of layers.
    """
    blocks = [layer for layer in _parts(backbone.layers) if _is_block(layer)]
    if not blocks:
        raise UsageError(
            "--gradient_checkpointing is for networks of transformer blocks, such as "
            f"those of KerasHub; {backbone.name} has none. Leave the flag out."
        )
    for block in blocks:
        block.call = _recomputed(block.call)


def _recomputed(function: Any) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        given = keras.tree.flatten((args, kwargs))
        places = [i for i, value in enumerate(given) if tf.is_tensor(value)]

        @tf.recompute_grad
        def again(*tensors: Any) -> Any:
            filled = list(given)
            for place, tensor in zip(places, tensors, strict=True):
                filled[place] = tensor
            values, named = keras.tree.pack_sequence_as((args, kwargs), filled)
            return function(*values, **named)

        return again(*(given[place] for place in places))

    return call


def _is_block(layer: keras.layers.Layer) -> bool:
    return bool(_BLOCK.match(layer.name) and _children(layer))


def _children(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    return list(layer._layers)


def _parts(layers: Sequence[keras.layers.Layer]) -> Iterator[keras.layers.Layer]:
    """Looks into models, and into layers that hold a row of blocks."""
    for layer in layers:
        holds_blocks = any(_is_block(child) for child in _children(layer))
        if isinstance(layer, keras.Model) or (holds_blocks and not _is_block(layer)):
            yield from _parts(_children(layer))
        else:
            yield layer
