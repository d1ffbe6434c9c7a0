"""Learning rates that fall from the last block of a backbone to the first."""

from __future__ import annotations

import itertools
from typing import Any

import keras

from dce_tf.base.errors import UsageError
from dce_tf.network.backbones.blocks import find_blocks
from dce_tf.training.optimizer import ParameterGroup


def backbone_groups(
    backbone: keras.Model,
    learning_rate: float,
    weight_decay: float = 0.0,
    *,
    layer_decay: float = 1.0,
    rests: bool = False,
) -> list[ParameterGroup]:
    """Sorts what trains of a backbone by how fast it does.

    With a decay below 1 each block has that share of the rate of the block after it
    (Clark et al., "ELECTRA", ICLR 2020; Bao et al., "BEiT", ICLR 2022). The last block
    has the whole rate: what comes after it, the embedding, has one of its own.

    Args:
        backbone: Its trainable variables are taken.
        learning_rate: Of the last block.
        weight_decay: Of all.
        layer_decay: Factor from block to block, above 0 and at most 1.
        rests: See `ParameterGroup`.

    Returns:
        A group per block that trains, the first block first; one of all without decay.

    Raises:
        UsageError: If there is a decay, and fewer than two blocks train.
    """
    variables = backbone.trainable_variables
    if layer_decay == 1:
        return [ParameterGroup(variables, learning_rate, weight_decay, rests=rests)]
    blocks = find_blocks(backbone)
    place: dict[int, int] = {}
    for number, block in enumerate(blocks):
        for variable in (each for layer in block for each in layer.variables):
            place.setdefault(id(variable), number)

    def block_of(variable: Any) -> int:
        # What a network keeps beside its layers stands at its beginning, as a class
        # token or a table of positions does.
        return place.get(id(variable), 0)

    ordered = sorted(variables, key=block_of)
    trained = {
        number: list(own) for number, own in itertools.groupby(ordered, key=block_of)
    }
    if len(trained) < 2:
        raise UsageError(
            f"--layer_decay={layer_decay} lowers the learning rate from block to "
            f"block, and of the {len(blocks)} blocks of this backbone {len(trained)} "
            "trains. Leave it out, or train two or more with --trainable_blocks."
        )
    return [
        ParameterGroup(
            own,
            learning_rate * layer_decay ** (len(blocks) - 1 - number),
            weight_decay,
            rests=rests,
        )
        for number, own in trained.items()
    ]
