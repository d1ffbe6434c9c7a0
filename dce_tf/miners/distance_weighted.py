"""Distance-weighted sampling."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

from dce_tf.miners import MINERS
from dce_tf.miners.pairs import Candidates, Pairs, counted, first_per_anchor


@MINERS.register("distance_weighted")
@dataclasses.dataclass(frozen=True)
class DistanceWeighted:
    """Takes all positives and, for each, a negative drawn evenly over distance.

    On the unit sphere in n dimensions distances crowd around √2, with density q(D) ∝
    D^(n−2) (1 − D²/4)^((n−3)/2). Negatives are drawn with probability ∝ 1/q(D),
    without repeats (Wu et al., "Sampling matters in deep embedding learning", ICCV
    2017, section 4.1).

    Args:
        cutoff: Nearer negatives count as this far, so that noise is not favoured.
        loss_free: Negatives at least this far are never drawn; the margin loss of
            α = 0.2 and β = 1.2 is 0 at 1.4 or more.
    """

    cutoff: float = 0.5
    loss_free: float = 1.4

    def __call__(self, given: Candidates) -> Pairs:
        """Picks pairs; see `Miner`."""
        distances, positive, negative = given.distances, given.positive, given.negative
        wanted = tf.reduce_sum(tf.cast(positive, tf.int32), axis=1)
        seed = given.seed
        if seed is None:
            seed = tf.random.uniform((2,), maxval=tf.int32.max, dtype=tf.int32)
        uniform = tf.random.stateless_uniform(tf.shape(distances), seed, minval=1e-20)
        # The largest of log p + Gumbel noise are draws from p without repeats.
        gumbel = -tf.math.log(-tf.math.log(uniform))
        keys = self.log_weights(distances, given.embedding_dim) + gumbel
        drawn = first_per_anchor(-keys, negative & (distances < self.loss_free), wanted)
        return Pairs(counted(positive), counted(drawn))

    def log_weights(self, distances: Any, embedding_dim: int) -> Any:
        """Returns −log q of each distance, with those below the cutoff raised to it."""
        distances = tf.maximum(distances, self.cutoff)
        chord = tf.maximum(1 - tf.square(distances) / 4, 1e-8)
        n = float(embedding_dim)
        return -(n - 2) * tf.math.log(distances) - (n - 3) / 2 * tf.math.log(chord)
