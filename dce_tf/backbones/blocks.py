"""The blocks a network is made of: which of them train."""

from __future__ import annotations

import re
from collections.abc import Sequence

import keras

from dce_tf.errors import UsageError

# "conv5_block3_out" → "conv5_block3", "block6a_expand" → "block6a",
# "transformer_layer_11" → itself, "stage_2_block_1_conv" → "stage_2_block_1".
_BLOCK = re.compile(r"^.*?(?:block|layer|stage|stack)_?\d+[a-z]?(?:_block_?\d+[a-z]?)?")


def train_last_blocks(backbone: keras.Model, count: int | None) -> None:
    """Makes only the last blocks of a network trainable.

    A block is what shares a numbered name, such as `conv5_block3`; a layer without one
    is a block of its own. Layers after the last of them, such as a final norm, count
    to it. Layers without weights count to none.

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
    for layer in _leaves(backbone.layers):
        if layer.weights:
            found = _BLOCK.match(layer.name)
            blocks.setdefault(found.group() if found else layer.name, []).append(layer)
    return list(blocks.values())


def _leaves(layers: Sequence[keras.layers.Layer]) -> list[keras.layers.Layer]:
    """Looks into models inside models, not into layers made of layers."""
    found: list[keras.layers.Layer] = []
    for layer in layers:
        inner = isinstance(layer, keras.Model)
        found += _leaves(layer.layers) if inner else [layer]
    return found
