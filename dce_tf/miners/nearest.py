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

    An anchor with P positives gets the P nearest negatives farther than `cutoff`, or
    as many as there are.

    Args:
        cutoff: Negatives nearer than this are passed over, 0 to 2.
    """

    cutoff: float = 0.5

    def __call__(self, given: Candidates) -> Pairs:
        """Picks pairs; see `Miner`."""
        distances, positive, negative = given.distances, given.positive, given.negative
        wanted = tf.reduce_sum(tf.cast(positive, tf.int32), axis=1)
        chosen = first_per_anchor(
            distances, negative & (distances > self.cutoff), wanted
        )
        return Pairs(counted(positive), counted(chosen))
