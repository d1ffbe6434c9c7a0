"""Semi-hard mining."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from dce_tf.miners import MINERS
from dce_tf.miners.pairs import Candidates, Pairs, counted


@MINERS.register("semi_hard")
@dataclasses.dataclass(frozen=True)
class SemiHardNegatives:
    """Takes all positives, and the negatives just behind one of them.

    A negative n of anchor a is taken if a positive p is nearer, but by less than the
    margin: D_ap < D_an < D_ap + margin (Schroff et al., "FaceNet", CVPR 2015, section
    3.2, for distances as they are, not squared).

    Args:
        margin: Width of the zone behind a positive, as a distance.
    """

    margin: float = 0.2

    def __call__(self, given: Candidates) -> Pairs:
        """Picks pairs; see `Miner`."""
        distances, positive, negative = given.distances, given.positive, given.negative
        # Positives nearer than a negative, less those nearer by the margin or more.
        sorted_positives = tf.sort(tf.where(positive, distances, 1e9), axis=1)
        nearer = tf.searchsorted(sorted_positives, distances, side="left")
        by_far = tf.searchsorted(
            sorted_positives, distances - self.margin, side="right"
        )
        return Pairs(counted(positive), counted(negative & (nearer > by_far)))
