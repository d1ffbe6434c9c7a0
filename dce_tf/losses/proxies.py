"""What losses with class proxies share."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from dce_tf.losses.base import MetricLoss, Space, checked_num_classes


class ProxyLoss(MetricLoss):
    """A loss that compares embeddings with trained vectors, one or more for each class.

    A learner compares in its part of the space: its proxies are that part of them, at
    unit length, as its embeddings are.

    Args:
        num_classes: How many classes there are; labels must be below.
        num_centers: Proxies of each class.

    Call arguments and result: see `MetricLoss`.

    Raises:
        UsageError: If there is no class.
    """

    keeps_variables = True

    def __init__(
        self, num_classes: int, num_centers: int = 1, name: str | None = None
    ) -> None:
        super().__init__(name)
        self.num_classes: int = checked_num_classes(type(self).__name__, num_classes)
        self.num_centers = num_centers

    def _make_variables(self, space: Space) -> None:
        self._part = space.part
        # Directions drawn evenly, of length about 1.
        width = space.raw_units or space.units
        self.proxies = self.add_weight(
            shape=(self.num_classes * self.num_centers, width),
            initializer=keras.initializers.RandomNormal(stddev=space.units**-0.5),
            name="proxies",
        )

    def similarities(self, embedding: Any, learner: Any = None) -> Any:
        """Returns dot products with all proxies of a learner or of the whole.

        Args:
            embedding: float32 `(batch, dim)`, of unit length.
            learner: See `MetricLoss`.

        Returns:
            float32 `(batch, num_classes)`, or `(batch, num_classes, num_centers)` where
            there are several; −1 to 1.
        """
        proxies = self._part(tf.convert_to_tensor(self.proxies), learner)
        similarity = tf.matmul(embedding, proxies, transpose_b=True)
        if self.num_centers == 1:
            return similarity
        return tf.reshape(similarity, (-1, self.num_classes, self.num_centers))


def cross_entropy(logits: Any, labels: Any) -> Any:
    """Returns the mean cross-entropy of `(batch, num_classes)` logits."""
    return tf.reduce_mean(
        tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    )
