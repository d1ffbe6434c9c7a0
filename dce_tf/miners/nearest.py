"""The miner of the 2019 reference program."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from dce_tf.miners import MINERS
from dce_tf.miners.pairs import Candidates, Pairs, counted, first_per_anchor


@MINERS.register("nearest")
@dataclasses.dataclass(frozen=True)
class NearestNegatives:
    """Takes all positives and, for each, the nearest negative beyond a cutoff.

    An anchor with P positives gets the P nearest negatives farther than `cutoff`. Where
    fewer are, as in an untrained network whose embeddings all lie close together, the
    farthest of the others fill up: without any, nothing would push them apart. (The
    reference fills up with whatever it sorts last, positives and the anchor too.)

    Args:
        cutoff: Negatives nearer than this are taken only to fill up, 0 to 2.
        fill: Whether to fill up where too few are farther.
    """

    cutoff: float = 0.5
    fill: bool = True

    def __call__(self, given: Candidates) -> Pairs:
        """Picks pairs; see `Miner`."""
        distances, positive, negative = given.distances, given.positive, given.negative
        wanted = tf.reduce_sum(tf.cast(positive, tf.int32), axis=1)
        beyond = distances > self.cutoff
        # No distance is above 2, so those within the cutoff come after all beyond it.
        order = tf.where(beyond, distances, 4 - distances)
        valid = negative if self.fill else negative & beyond
        chosen = first_per_anchor(order, valid, wanted)
        return Pairs(counted(positive), counted(chosen))
