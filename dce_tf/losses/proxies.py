"""What losses with class proxies share."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from dce_tf.base.errors import UsageError
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


class ClassifyingLoss(ProxyLoss):
    """A loss that classifies a batch by similarity to the proxies of all classes.

    A class of several centres is as near as the nearest of them, so that noisy or odd
    images have a centre for themselves (Deng et al., "Sub-center ArcFace", ECCV
    2020, equation 3). With smoothing, that share of each target is divided evenly among
    all classes (Szegedy et al., CVPR 2016, section 7).

    Args:
        num_classes: How many classes there are; labels must be below.
        num_centers: Proxies of each class.
        smoothing: Share of the target that all classes have, 0 to below 1.
        name: As in the registry, for messages.

    Call arguments and result: see `MetricLoss`.

    Raises:
        UsageError: If there is no class, no centre, or the share is out of range.
    """

    def __init__(
        self, num_classes: int, num_centers: int, smoothing: float, name: str
    ) -> None:
        if num_centers < 1:
            raise UsageError(f"{name}(num_centers={num_centers}): expected 1 or more.")
        if not 0 <= smoothing < 1:
            raise UsageError(
                f"{name}(smoothing={smoothing}): expected a share, 0 to below 1."
            )
        super().__init__(num_classes, num_centers, name=f"{name}_loss")
        self.smoothing = smoothing

    def class_similarities(self, embedding: Any, learner: Any = None) -> Any:
        """Returns the dot product with the nearest proxy of each class.

        Args:
            embedding: float32 `(batch, dim)`, of unit length.
            learner: See `MetricLoss`.

        Returns:
            float32 `(batch, num_classes)`, −1 to 1.
        """
        similarity = self.similarities(embedding, learner)
        return similarity if self.num_centers == 1 else tf.reduce_max(similarity, 2)


def cross_entropy(logits: Any, labels: Any, smoothing: float = 0.0) -> Any:
    """Returns the mean cross-entropy of `(batch, num_classes)` logits.

    Args:
        logits: float32 `(batch, num_classes)`.
        labels: int64 `(batch,)`.
        smoothing: Share of each target that all classes have evenly.
    """
    right = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    if not smoothing:
        return tf.reduce_mean(right)
    even = tf.reduce_logsumexp(logits, axis=1) - tf.reduce_mean(logits, axis=1)
    return tf.reduce_mean((1 - smoothing) * right + smoothing * even)
