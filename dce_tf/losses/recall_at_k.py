"""Recall@k surrogate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from dce_tf.errors import UsageError
from dce_tf.losses import LOSSES
from dce_tf.losses.base import MetricLoss, check_positive, mean_where
from dce_tf.losses.blocks import by_rows


@LOSSES.register("recall_at_k")
class RecallAtKLoss(MetricLoss):
    """One minus a smooth recall@k, for several k.

    A positive x of query q has rank r = 1 + Σ_z σ((s_qz − s_qx)/τ_rank), z over the
    other images; recall@k is Σ_x σ((k − r)/τ_k) over min(k, number of positives), the
    most that k places hold (Patel et al., CVPR 2022, equations 3 to 5; their program
    also caps the sum at k, which fewer than k + 1 positives cannot reach). Memory grows
    with the cube of the batch.

    With mixup, each image is also mixed with another one of its class at a random
    ratio; the mixtures are queries and results like the images. Only similarities are
    mixed, so it costs no pass through the network (section 3.4).

    Args:
        ks: The k.
        k_temperature: τ_k.
        rank_temperature: τ_rank.
        mixup: Whether to add mixtures.

    Call arguments and result: see `MetricLoss`.

    Raises:
        UsageError: If there is no k, or one is below 1.
    """

    def __init__(
        self,
        ks: Sequence[int] = (1, 2, 4, 8, 16),
        k_temperature: float = 1.0,
        rank_temperature: float = 0.01,
        mixup: bool = False,
    ) -> None:
        super().__init__(name="recall_at_k_loss")
        check_positive(
            "recall_at_k",
            k_temperature=k_temperature,
            rank_temperature=rank_temperature,
        )
        if not ks or min(ks) < 1:
            raise UsageError(f"recall_at_k(ks={ks}): expected numbers from 1 on.")
        self.ks = tuple(ks)
        self.k_temperature = k_temperature
        self.rank_temperature = rank_temperature
        self.mixup = mixup

    def call(
        self, embedding: Any, labels: Any, learner: Any = None, seed: Any = None
    ) -> Any:
        del learner
        if self.mixup:
            # The similarity of mixtures is the mixture of similarities.
            embedding = tf.concat([embedding, mix(embedding, labels, seed)], axis=0)
            labels = tf.concat([labels, labels], axis=0)
        similarity = tf.matmul(embedding, embedding, transpose_b=True)
        other = ~tf.eye(tf.shape(labels)[0], dtype=tf.bool)
        positive = tf.cast((labels[:, tf.newaxis] == labels) & other, tf.float32)
        others = tf.cast(other, tf.float32)
        rank = by_rows(self._ranks, (similarity, others), (others,))
        num_positives = tf.reduce_sum(positive, axis=1)
        losses = []
        for k in self.ks:
            hits = positive * tf.sigmoid((k - rank) / self.k_temperature)
            possible = tf.maximum(tf.minimum(num_positives, float(k)), 1)
            losses.append(1 - tf.reduce_sum(hits, axis=1) / possible)
        return mean_where(tf.add_n(losses) / len(losses), num_positives > 0)

    def _ranks(self, similarity: Any, other: Any, others: Any) -> Any:
        """Returns the soft rank of each result for some queries."""
        # [query, result, what may stand before it]
        ahead = similarity[:, tf.newaxis, :] - similarity[:, :, tf.newaxis]
        counts = other[:, tf.newaxis, :] * others
        before = tf.sigmoid(ahead / self.rank_temperature) * counts
        return 1 + tf.reduce_sum(before, axis=2)


def mix(embedding: Any, labels: Any, seed: Any = None) -> Any:
    """Mixes each embedding with that of another image of its class.

    Args:
        embedding: float32 `(batch, dim)`.
        labels: int32 `(batch,)`.
        seed: int32 `(2,)`; None draws from TensorFlow's global generator.

    Returns:
        float32 `(batch, dim)`, not of unit length; an image alone in its class is
        itself.
    """
    if seed is None:
        seed = tf.random.uniform((2,), maxval=tf.int32.max, dtype=tf.int32)
    seeds = tf.random.split(seed, 2)
    count = tf.shape(labels)[0]
    same = labels[:, tf.newaxis] == labels
    keys = tf.random.stateless_uniform((count, count), seeds[0])
    itself = tf.eye(count, dtype=tf.bool)
    partner = tf.argmax(tf.where(same, tf.where(itself, -1.0, keys), -2.0), axis=1)
    ratio = tf.random.stateless_uniform((count, 1), seeds[1])
    return ratio * embedding + (1 - ratio) * tf.gather(embedding, partner)
