"""Cross-batch memory around any pair loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from dce_tf.base.errors import UsageError
from dce_tf.batch.distances import same_class
from dce_tf.losses import LOSSES
from dce_tf.losses.base import MetricLoss, Space, check_positive
from dce_tf.losses.pairs import PairLoss
from dce_tf.miners import Miner


@LOSSES.register("cross_batch_memory")
class CrossBatchMemory(MetricLoss):
    """Compares a batch with itself and with the embeddings of earlier batches.

    The loss within the batch, plus `weight` times that of its images against the last
    `size` embeddings, kept as they were (Wang et al., CVPR 2020, "XBM"). Each learner
    has a memory of its own, and so has the whole embedding.

    Args:
        loss: Spec of a loss on pairs, such as `"contrastive()"`, or such a loss.
        size: Embeddings a memory holds.
        start: Batches of a memory before it counts, so that it holds no embeddings of
            an untrained network.
        weight: Of the loss against the memory.
        miner: Picks the pairs: a miner or the name of one; None for the loss's own.
        num_classes: For an inner loss that needs it.

    Call arguments and result: see `MetricLoss`.

    Raises:
        UsageError: If `loss` is no loss on pairs.
    """

    keeps_variables = True

    def __init__(
        self,
        loss: str | PairLoss = "contrastive",
        size: int = 1024,
        start: int = 10,
        weight: float = 1.0,
        miner: Miner | str | None = None,
        num_classes: int | None = None,
    ) -> None:
        super().__init__(name="cross_batch_memory")
        check_positive("cross_batch_memory", size=size, weight=weight)
        inner: Any = loss
        if isinstance(loss, str):
            known = {"miner": miner, "num_classes": num_classes}
            given = {key: value for key, value in known.items() if value is not None}
            inner = LOSSES.build(loss, **given)
        if not isinstance(inner, PairLoss):
            raise UsageError(
                f"cross_batch_memory(loss={loss!r}): expected a loss on pairs, such as "
                "contrastive, margin, triplet, multi_similarity or supcon."
            )
        self.loss = inner
        self.num_classes = inner.num_classes
        self.size = size
        self.start = start
        self.weight = weight

    def _inner(self) -> Sequence[MetricLoss]:
        return (self.loss,)

    def _make_variables(self, space: Space) -> None:
        width = space.learner_units or space.units
        self._parts = self._memory(space.num_learners, width, "learners")
        self._whole = self._memory(1, space.units, "whole")

    def _memory(self, count: int, width: int, name: str) -> _Memory:
        def add(shape: tuple[int, ...], dtype: str, what: str) -> Any:
            return self.add_weight(
                shape=shape,
                initializer="zeros",
                dtype=dtype,
                trainable=False,
                aggregation="only_first_replica",
                name=f"{name}_{what}",
            )

        return _Memory(
            add((count, self.size, width), "float32", "embeddings"),
            add((count, self.size), "int64", "labels"),
            add((count,), "int32", "batches"),
            add((count,), "int32", "filled"),
        )

    def call(
        self, labels: Any, embedding: Any, learner: Any = None, seed: Any = None
    ) -> Any:
        memory = self._whole if learner is None else self._parts
        row = tf.constant(0) if learner is None else tf.cast(learner, tf.int32)
        kept, kept_labels, batches, filled = (
            tf.convert_to_tensor(part)[row] for part in memory
        )
        same = same_class(labels, kept_labels)
        there = tf.range(self.size) < filled
        loss = self.loss.call(labels, embedding, learner=learner, seed=seed)
        masks = (same & there, ~same & there)
        across = self.loss.compare(embedding, labels, kept, masks, seed)
        memory.remember(row, tf.stop_gradient(embedding), labels)
        return loss + tf.where(batches >= self.start, self.weight * across, 0.0)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, with the inner loss and its miner."""
        loss = keras.saving.serialize_keras_object(self.loss)
        return {**super().get_config(), "loss": loss, "miner": None}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> CrossBatchMemory:
        """Builds the loss that `get_config` described."""
        loss = keras.saving.deserialize_keras_object(config["loss"])
        return cls(**{**config, "loss": loss})


class _Memory(NamedTuple):
    """What is kept of earlier batches, a row for each learner; the newest first.

    Attributes:
        embeddings: float32 `(rows, size, dim)`.
        labels: int64 `(rows, size)`.
        batches: How many there were, int32 `(rows,)`.
        filled: How many of the first places hold an embedding, int32 `(rows,)`.
    """

    embeddings: Any
    labels: Any
    batches: Any
    filled: Any

    def remember(self, row: Any, embedding: Any, labels: Any) -> None:
        """Puts a batch in front of a memory; the oldest falls out at the end."""
        size = self.labels.shape[1]
        for variable, new in ((self.embeddings, embedding), (self.labels, labels)):
            old = tf.convert_to_tensor(variable)
            updated = tf.concat([new, old[row]], axis=0)[:size]
            variable.assign(
                tf.tensor_scatter_nd_update(old, [[row]], updated[tf.newaxis])
            )
        for variable, more, most in (
            (self.batches, 1, tf.int32.max),
            (self.filled, tf.shape(labels)[0], size),
        ):
            old = tf.convert_to_tensor(variable)
            count = tf.minimum(old[row] + more, most)
            variable.assign(tf.tensor_scatter_nd_update(old, [[row]], [count]))
