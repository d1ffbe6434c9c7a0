"""Cross-batch memory around any pair loss."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from dce_tf.errors import UsageError
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
        space: The embedding space.
        loss: Spec of a loss on pairs, such as `"contrastive()"`.
        size: Embeddings a memory holds.
        start: Batches of a memory before it counts, so that it holds no embeddings of
            an untrained network.
        weight: Of the loss against the memory.
        miner: Picks the pairs: a miner or the name of one; None for the loss's own.

    Call arguments and result: see `MetricLoss`.

    Raises:
        UsageError: If `loss` is no loss on pairs.
    """

    def __init__(
        self,
        space: Space,
        loss: str = "contrastive",
        size: int = 1024,
        start: int = 10,
        weight: float = 1.0,
        miner: Miner | str | None = None,
    ) -> None:
        super().__init__(name="cross_batch_memory")
        check_positive("cross_batch_memory", size=size, weight=weight)
        context = (
            {"space": space} if miner is None else {"space": space, "miner": miner}
        )
        inner = LOSSES.build(loss, **context)
        if not isinstance(inner, PairLoss):
            raise UsageError(
                f"cross_batch_memory(loss={loss!r}): expected a loss on pairs, such as "
                "contrastive, margin, triplet, multi_similarity or supcon."
            )
        self.loss = inner
        self.size = size
        self.start = start
        self.weight = weight
        width = space.learner_units or space.units
        self._parts = self._memory(space.num_learners, width, "learners")
        self._whole = self._memory(1, space.units, "whole")

    def _memory(self, count: int, width: int, name: str) -> tuple[Any, Any, Any]:
        def add(shape: tuple[int, ...], initializer: Any, dtype: str, what: str) -> Any:
            return self.add_weight(
                shape=shape,
                initializer=initializer,
                dtype=dtype,
                trainable=False,
                aggregation="only_first_replica",
                name=f"{name}_{what}",
            )

        return (
            add((count, self.size, width), "zeros", "float32", "embeddings"),
            add((count, self.size), _no_label, "int32", "labels"),
            add((count,), "zeros", "int32", "batches"),
        )

    def call(
        self, embedding: Any, labels: Any, learner: Any = None, seed: Any = None
    ) -> Any:
        memory = self._whole if learner is None else self._parts
        row = tf.constant(0) if learner is None else tf.cast(learner, tf.int32)
        kept, kept_labels, batches = (tf.convert_to_tensor(part) for part in memory)
        same = labels[:, tf.newaxis] == kept_labels[row]
        there = kept_labels[row] >= 0
        loss = self.loss(embedding, labels, learner=learner, seed=seed)
        across = self.loss.compare(
            embedding, labels, kept[row], (same, ~same & there), seed
        )
        self._remember(memory, row, tf.stop_gradient(embedding), labels)
        return loss + tf.where(batches[row] >= self.start, self.weight * across, 0.0)

    def _remember(self, memory: Any, row: Any, embedding: Any, labels: Any) -> None:
        """Puts a batch in front of a memory; the oldest falls out at the end."""
        embeddings, kept_labels, batches = memory
        for variable, new in ((embeddings, embedding), (kept_labels, labels)):
            old = tf.convert_to_tensor(variable)
            updated = tf.concat([new, old[row]], axis=0)[: self.size]
            variable.assign(
                tf.tensor_scatter_nd_update(old, [[row]], updated[tf.newaxis])
            )
        old = tf.convert_to_tensor(batches)
        batches.assign(tf.tensor_scatter_nd_add(old, [[row]], [1]))


def _no_label(shape: Any, dtype: Any = None) -> Any:
    return -tf.ones(shape, dtype or "int32")
