"""CosFace loss."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from dce_tf.losses import LOSSES
from dce_tf.losses.base import check_positive
from dce_tf.losses.proxies import ClassifyingLoss, cross_entropy


@LOSSES.register("cosface")
class CosFaceLoss(ClassifyingLoss):
    """Classifies by cosine, with a margin on the cosine to the right class.

    Cross-entropy of s·cos(θ_c), with s·(cos θ_y − m) for the right class (Wang et al.,
    CVPR 2018, equation 4).

    Args:
        num_classes: How many classes there are; labels must be below.
        margin: m, as a cosine.
        scale: s.
        num_centers: Proxies of each class, of which the nearest counts.
        smoothing: Share of the target that all classes have, 0 to below 1.

    Call arguments and result: see `MetricLoss`.
    """

    def __init__(
        self,
        num_classes: int,
        margin: float = 0.35,
        scale: float = 64.0,
        num_centers: int = 1,
        smoothing: float = 0.0,
    ) -> None:
        super().__init__(num_classes, num_centers, smoothing, name="cosface")
        check_positive("cosface", scale=scale)
        self.margin = margin
        self.scale = scale

    def call(
        self, labels: Any, embedding: Any, learner: Any = None, seed: Any = None
    ) -> Any:
        del seed
        cosine = self.class_similarities(embedding, learner)
        right = tf.one_hot(labels, self.num_classes)
        return cross_entropy(
            self.scale * (cosine - self.margin * right), labels, self.smoothing
        )
