"""Recall@k surrogate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from dce_tf.base.errors import UsageError
from dce_tf.batch.distances import same_class
from dce_tf.losses import LOSSES
from dce_tf.losses.base import MetricLoss, check_positive, mean_where
from dce_tf.losses.blocks import by_rows

_FORMS = ("paper", "program")


@LOSSES.register("recall_at_k")
class RecallAtKLoss(MetricLoss):
    """One minus a smooth recall@k, for several k.

    A positive x of query q has rank r = 1 + Σ_z σ((s_qz − s_qx)/τ_rank), z over the
    other images; recall@k is Σ_x σ((k − r)/τ_k) over min(k, number of positives), the
    most that k places hold (Patel et al., CVPR 2022, equations 3 to 5). Memory grows
    with the cube of the batch.

    `form="program"` computes what the authors' program does instead: the query itself
    is among the z, so that each rank is higher by almost 1; τ_k is k, not 1; k is at
    most the batch, and the sum over x at most k. Their numbers are of that form.

    With mixup, each image is also mixed with another one of its class at a random
    ratio; the mixtures are queries and results like the images. Only similarities are
    mixed, so it costs no pass through the network (section 3.4). The program mixes
    every pair of a class of 3, 4 or 6 images, which neither form does.

    Args:
        ks: The k.
        k_temperature: τ_k: one for all, or one for each k. None: 1, or in the program's
            form k.
        rank_temperature: τ_rank.
        mixup: Whether to add mixtures.
        form: `"paper"` or `"program"`.

    Call arguments and result: see `MetricLoss`.

    Raises:
        UsageError: If there is no k, one is below 1, the temperatures are not as many
            or not above 0, or the form is unknown.
    """

    def __init__(
        self,
        ks: Sequence[int] = (1, 2, 4, 8, 16),
        k_temperature: float | Sequence[float] | None = None,
        rank_temperature: float = 0.01,
        mixup: bool = False,
        form: str = "paper",
    ) -> None:
        super().__init__(name="recall_at_k_loss")
        if form not in _FORMS:
            raise UsageError(
                f"recall_at_k(form={form!r}): expected one of {', '.join(_FORMS)}."
            )
        if not ks or min(ks) < 1:
            raise UsageError(f"recall_at_k(ks={ks}): expected numbers of 1 or more.")
        self.ks = tuple(ks)
        self.as_program = form == "program"
        default = self.ks if self.as_program else 1.0
        self.k_temperatures = _for_each(
            self.ks, default if k_temperature is None else k_temperature
        )
        check_positive(
            "recall_at_k",
            k_temperature=min(self.k_temperatures),
            rank_temperature=rank_temperature,
        )
        self.rank_temperature = rank_temperature
        self.mixup = mixup

    def call(
        self, labels: Any, embedding: Any, learner: Any = None, seed: Any = None
    ) -> Any:
        del learner
        if self.mixup:
            # The similarity of mixtures is the mixture of similarities.
            embedding = tf.concat([embedding, mix(embedding, labels, seed)], axis=0)
            labels = tf.concat([labels, labels], axis=0)
        similarity = tf.matmul(embedding, embedding, transpose_b=True)
        other = ~tf.eye(tf.shape(labels)[0], dtype=tf.bool)
        positive = tf.cast(same_class(labels, labels) & other, tf.float32)
        others = tf.cast(other, tf.float32)
        queries = tf.ones_like(others) if self.as_program else others
        rank = by_rows(self._ranks, (similarity, queries), (others,))
        num_positives = tf.reduce_sum(positive, axis=1)
        losses = []
        for k, temperature in zip(self.ks, self.k_temperatures, strict=True):
            hits = self._hits(rank, positive, k, temperature)
            possible = tf.maximum(tf.minimum(num_positives, float(k)), 1)
            losses.append(1 - hits / possible)
        return mean_where(tf.add_n(losses) / len(losses), num_positives > 0)

    def _hits(self, rank: Any, positive: Any, k: int, temperature: float) -> Any:
        """Returns how many positives of each query are among the first k."""
        places = tf.constant(float(k))
        if self.as_program:
            places = tf.minimum(places, tf.cast(tf.shape(rank)[0], tf.float32))
        inside = tf.sigmoid((places - rank) / temperature)
        hits = tf.reduce_sum(positive * inside, axis=1)
        return tf.minimum(hits, places) if self.as_program else hits

    def _ranks(self, similarity: Any, other: Any, others: Any) -> Any:
        """Returns the soft rank of each result for some queries."""
        # [query, result, what may stand before it]
        ahead = similarity[:, tf.newaxis, :] - similarity[:, :, tf.newaxis]
        counts = other[:, tf.newaxis, :] * others
        before = tf.sigmoid(ahead / self.rank_temperature) * counts
        return 1 + tf.reduce_sum(before, axis=2)


def _for_each(ks: Sequence[int], temperature: float | Sequence[float]) -> list[float]:
    """Returns a temperature for each k."""
    if isinstance(temperature, int | float):
        return [float(temperature)] * len(ks)
    if len(temperature) != len(ks):
        raise UsageError(
            f"recall_at_k(k_temperature={tuple(temperature)}): expected one number, or "
            f"one for each of ks={tuple(ks)}."
        )
    return [float(each) for each in temperature]


def mix(embedding: Any, labels: Any, seed: Any = None) -> Any:
    """Mixes each embedding with that of another image of its class.

    Args:
        embedding: float32 `(batch, dim)`.
        labels: int64 `(batch,)`.
        seed: int32 `(2,)`; None draws from TensorFlow's global generator.

    Returns:
        float32 `(batch, dim)`, not of unit length; an image alone in its class is
        itself.
    """
    if seed is None:
        seed = tf.random.uniform((2,), maxval=tf.int32.max, dtype=tf.int32)
    seeds = tf.random.split(seed, 2)
    count = tf.shape(labels)[0]
    same = same_class(labels, labels)
    keys = tf.random.stateless_uniform((count, count), seeds[0])
    itself = tf.eye(count, dtype=tf.bool)
    partner = tf.argmax(tf.where(same, tf.where(itself, -1.0, keys), -2.0), axis=1)
    ratio = tf.random.stateless_uniform((count, 1), seeds[1])
    return ratio * embedding + (1 - ratio) * tf.gather(embedding, partner)
