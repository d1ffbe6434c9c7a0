"""Losses that compare pairs, within a batch or with others kept from earlier ones."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from dce_tf.batch.distances import label_masks, to_distances
from dce_tf.losses.base import MetricLoss
from dce_tf.miners import MINERS, Candidates, Miner


class Compared(NamedTuple):
    """The pairs of anchors and others that a loss looks at.

    Attributes:
        anchors: float32 `(num_anchors, dim)`, of unit length.
        others: float32 `(num_others, dim)`, of unit length.
        labels: Class of each anchor, int64 `(num_anchors,)`.
        similarity: Dot products, float32 `(num_anchors, num_others)`.
        positive: How often each pair counts, float32 of the same shape, 0 where it is
            not of one class or was not picked.
        negative: The same for pairs of two classes.
    """

    anchors: Any
    others: Any
    labels: Any
    similarity: Any
    positive: Any
    negative: Any

    @property
    def distances(self) -> Any:
        """Euclidean distances, float32 `(num_anchors, num_others)`."""
        return to_distances(self.similarity)


class PairLoss(MetricLoss):
    """A loss on the pairs that a miner picks; subclasses define `combine`.

    Args:
        miner: Picks the pairs: a miner or the name of one.

    Call arguments and result: see `MetricLoss`.
    """

    def __init__(self, miner: Miner | str = "all", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.miner: Miner = MINERS.build(miner) if isinstance(miner, str) else miner

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, with the miner as its spec."""
        config = super().get_config()
        if "miner" in config:
            config["miner"] = MINERS.spec_of(self.miner)
        return config

    def call(
        self, labels: Any, embedding: Any, learner: Any = None, seed: Any = None
    ) -> Any:
        del learner
        masks = label_masks(labels)
        return self.compare(embedding, labels, embedding, masks, seed)

    def compare(
        self, anchors: Any, labels: Any, others: Any, masks: Any, seed: Any = None
    ) -> Any:
        """Computes the loss of anchors against others.

        Args:
            anchors: float32 `(num_anchors, dim)`, of unit length.
            labels: Class of each anchor, int64 `(num_anchors,)`.
            others: float32 `(num_others, dim)`, of unit length.
            masks: Which pairs are positive and which negative, two bool tensors
                `(num_anchors, num_others)`.
            seed: See `MetricLoss`.

        Returns:
            float32 scalar.
        """
        similarity = tf.matmul(anchors, others, transpose_b=True)
        distances = tf.stop_gradient(to_distances(similarity))
        positive, negative = masks
        width = anchors.shape[-1]
        pairs = self.miner(Candidates(distances, positive, negative, width, seed))
        return self.combine(Compared(anchors, others, labels, similarity, *pairs))

    def combine(self, compared: Compared) -> Any:
        """Returns the loss of these pairs, a float32 scalar."""
        raise NotImplementedError
