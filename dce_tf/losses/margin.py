"""Margin loss."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from dce_tf.distances import pairwise_distances
from dce_tf.losses import LOSSES
from dce_tf.losses.base import MetricLoss
from dce_tf.miners import MINERS, Miner


@LOSSES.register("margin")
class MarginLoss(MetricLoss):
    """Pulls positives nearer than β − α and pushes negatives farther than β + α.

    The mean of relu(D_ap − β + α) over positive and relu(β − D_an + α) over negative
    pairs, divided by the number of pairs of both kinds that are not yet 0 (Wu et al.,
    ICCV 2017, equation 6).

    Args:
        alpha: Half the width of the gap, as a distance.
        beta: The boundary between positives and negatives, as a distance, 0 to 2.
        miner: Picks the pairs: a miner or the name of one.

    Call arguments and result: see `MetricLoss`.
    """

    def __init__(
        self, alpha: float = 0.2, beta: float = 1.2, miner: Miner | str = "nearest"
    ) -> None:
        super().__init__(name="margin_loss")
        self.alpha = alpha
        self.beta = beta
        self.miner = MINERS.build(miner) if isinstance(miner, str) else miner

    def call(
        self, embedding: Any, labels: Any, learner: Any = None, seed: Any = None
    ) -> Any:
        del learner
        distances = pairwise_distances(embedding)
        pairs = self.miner(
            tf.stop_gradient(distances), labels, embedding.shape[-1], seed
        )
        positive = tf.nn.relu(distances - self.beta + self.alpha)
        negative = tf.nn.relu(self.beta - distances + self.alpha)
        total = tf.reduce_sum(pairs.positive * positive + pairs.negative * negative)
        active = tf.reduce_sum(
            pairs.positive * _is_active(positive)
            + pairs.negative * _is_active(negative)
        )
        return total / tf.maximum(active, 1)


def _is_active(terms: Any) -> Any:
    return tf.cast(terms > 0, terms.dtype)
