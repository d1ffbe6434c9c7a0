"""ArcFace loss."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from dce_tf.base.errors import UsageError
from dce_tf.losses import LOSSES
from dce_tf.losses.base import check_positive
from dce_tf.losses.proxies import ClassifyingLoss, cross_entropy


@LOSSES.register("arcface")
class ArcFaceLoss(ClassifyingLoss):
    """Classifies by angle, with a margin on the angle to the right class.

    Cross-entropy of s·cos(θ_c), with s·cos(θ_y + m) for the right class (Deng et al.,
    CVPR 2019, equation 3). Beyond θ_y = π − m, where that would rise again, the line
    cos θ_y − m sin m continues it, as in the authors' program.

    Args:
        num_classes: How many classes there are; labels must be below.
        margin: m in radians, 0 to π/2.
        scale: s.
        num_centers: Proxies of each class, of which the nearest counts.
        smoothing: Share of the target that all classes have, 0 to below 1.

    Call arguments and result: see `MetricLoss`.

    Raises:
        UsageError: If an option is out of range.
    """

    def __init__(
        self,
        num_classes: int,
        margin: float = 0.5,
        scale: float = 64.0,
        num_centers: int = 1,
        smoothing: float = 0.0,
    ) -> None:
        super().__init__(num_classes, num_centers, smoothing, name="arcface")
        check_positive("arcface", scale=scale)
        if not 0 <= margin < math.pi / 2:
            raise UsageError(f"arcface(margin={margin}): expected radians, 0 to 1.57.")
        self.margin = margin
        self.scale = scale

    def call(
        self, labels: Any, embedding: Any, learner: Any = None, seed: Any = None
    ) -> Any:
        del seed
        cosine = self.class_similarities(embedding, learner)
        # Away from ±1, where the sine has no finite gradient.
        inner = tf.clip_by_value(cosine, -1 + 1e-6, 1 - 1e-6)
        sine = tf.sqrt(1 - tf.square(inner))
        moved = inner * math.cos(self.margin) - sine * math.sin(self.margin)
        line = cosine - self.margin * math.sin(self.margin)
        moved = tf.where(cosine > -math.cos(self.margin), moved, line)
        right = tf.one_hot(labels, self.num_classes) > 0
        return cross_entropy(
            self.scale * tf.where(right, moved, cosine), labels, self.smoothing
        )
