"""Lifted structured loss."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from dce_tf.batch.distances import label_masks, pairwise_distances
from dce_tf.losses import LOSSES
from dce_tf.losses.base import MetricLoss, log_sum_exp


@LOSSES.register("lifted_structure")
class LiftedStructureLoss(MetricLoss):
    """Weighs each positive pair against all negatives of both its images.

    J_ij = log(Σ_k exp(margin − D_ik) + Σ_l exp(margin − D_jl)) + D_ij, with k and l
    over the negatives of i and of j; half the mean of relu(J)² over positive pairs
    (Song et al., CVPR 2016, equation 4).

    Args:
        margin: As a distance.

    Call arguments and result: see `MetricLoss`.
    """

    def __init__(self, margin: float = 1.0) -> None:
        super().__init__(name="lifted_structure_loss")
        self.margin = margin

    def call(
        self, labels: Any, embedding: Any, learner: Any = None, seed: Any = None
    ) -> Any:
        del learner, seed
        positive, negative = label_masks(labels)
        distances = pairwise_distances(embedding)
        pushed = log_sum_exp(self.margin - distances, negative)
        both = tf.reduce_logsumexp(tf.stack(tf.meshgrid(pushed, pushed)), axis=0)
        count = tf.maximum(tf.reduce_sum(tf.cast(positive, tf.float32)), 1)
        squares = tf.square(tf.nn.relu(both + distances))
        return tf.reduce_sum(tf.where(positive, squares, 0)) / (2 * count)
