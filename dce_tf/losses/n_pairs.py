"""N-pairs loss."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from dce_tf.batch.distances import same_class
from dce_tf.losses import LOSSES
from dce_tf.losses.base import MetricLoss, check_positive, log_sum_exp, mean_where


def anchors_and_positives(labels: Any) -> tuple[Any, Any]:
    """Splits the images of each class into anchors and positives by turns.

    The first, third, … image of a class are anchors, each with the next one as its
    positive; a last odd image is neither.

    Args:
        labels: int64 `(batch,)`.

    Returns:
        Two float32 tensors `(batch,)`: 1 for the anchors; 1 for the positives.
    """
    same = tf.cast(same_class(labels, labels), tf.int32)
    count = tf.reduce_sum(same, axis=1)
    rank = tf.reduce_sum(tf.linalg.band_part(same, -1, 0), axis=1) - 1
    anchor = (rank % 2 == 0) & (rank + 1 < count)
    return tf.cast(anchor, tf.float32), tf.cast(rank % 2 == 1, tf.float32)


@LOSSES.register("n_pairs")
class NPairsLoss(MetricLoss):
    """Finds the positive of each anchor among the positives of all others.

    Cross-entropy between the softmax over s·aᵀp of an anchor with all positives and
    the even distribution over those of its class (Sohn, NIPS 2016, equation 6, for
    embeddings of unit length).

    Args:
        scale: s, multiplies the cosine similarities.

    Call arguments and result: see `MetricLoss`.
    """

    def __init__(self, scale: float = 16.0) -> None:
        super().__init__(name="n_pairs_loss")
        check_positive("n_pairs", scale=scale)
        self.scale = scale

    def call(
        self, labels: Any, embedding: Any, learner: Any = None, seed: Any = None
    ) -> Any:
        del learner, seed
        anchor, positive = anchors_and_positives(labels)
        logits = self.scale * tf.matmul(embedding, embedding, transpose_b=True)
        same = tf.cast(same_class(labels, labels), tf.float32) * positive
        share = same / tf.maximum(tf.reduce_sum(same, axis=1, keepdims=True), 1)
        columns = tf.ones_like(logits) * positive
        losses = log_sum_exp(logits, columns) - tf.reduce_sum(share * logits, axis=1)
        return mean_where(losses, anchor)
