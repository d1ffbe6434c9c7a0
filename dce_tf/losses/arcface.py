"""ArcFace loss."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
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

    With `rare_margin`, m is wider for a class of few images: a class of n has
    margin + rare_margin · n^(−rarity) (Ha et al., "Google Landmark Recognition 2020
    Competition Third Place Solution", 2020: 0.05, 0.5 and 0.25).

    Args:
        num_classes: How many classes there are; labels must be below.
        margin: m in radians, 0 to π/2.
        scale: s.
        num_centers: Proxies of each class, of which the nearest counts.
        smoothing: Share of the target that all classes have, 0 to below 1.
        rare_margin: What a class of one image has beside `margin`, in radians; 0 gives
            all classes the same.
        rarity: How fast that falls with the images of a class, above 0.
        class_counts: Images of each class, `(num_classes,)`; for `rare_margin`.

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
        rare_margin: float = 0.0,
        rarity: float = 0.25,
        class_counts: npt.ArrayLike | None = None,
    ) -> None:
        super().__init__(num_classes, num_centers, smoothing, name="arcface")
        check_positive("arcface", scale=scale, rarity=rarity)
        least = min(margin, rare_margin)
        if not (least >= 0 and margin + rare_margin < math.pi / 2):
            raise UsageError(
                f"arcface(margin={margin}, rare_margin={rare_margin}): expected "
                "radians, together 0 to 1.57."
            )
        self.scale = scale
        self.margins = np.full(num_classes, margin)
        if rare_margin:
            counts = _checked_counts(class_counts, num_classes)
            self.margins = margin + rare_margin * counts**-rarity

    def call(
        self, labels: Any, embedding: Any, learner: Any = None, seed: Any = None
    ) -> Any:
        del seed
        cosine = self.class_similarities(embedding, learner)
        # Away from ±1, where the sine has no finite gradient.
        inner = tf.clip_by_value(cosine, -1 + 1e-6, 1 - 1e-6)
        sine = tf.sqrt(1 - tf.square(inner))
        # One row for each image, as cosine has.
        cos, sin, drop = (
            tf.gather(tf.constant(values, tf.float32), labels)[:, tf.newaxis]
            for values in (
                np.cos(self.margins),
                np.sin(self.margins),
                self.margins * np.sin(self.margins),
            )
        )
        moved = inner * cos - sine * sin
        moved = tf.where(cosine > -cos, moved, cosine - drop)
        right = tf.one_hot(labels, self.num_classes) > 0
        return cross_entropy(
            self.scale * tf.where(right, moved, cosine), labels, self.smoothing
        )


def _checked_counts(
    counts: npt.ArrayLike | None, num_classes: int
) -> npt.NDArray[np.float64]:
    if counts is None or np.shape(counts) != (num_classes,):
        found = "none" if counts is None else f"an array of shape {np.shape(counts)}"
        raise UsageError(
            "arcface(rare_margin=...) needs class_counts, the images of each of the "
            f"{num_classes} classes; received {found}."
        )
    # A class that lost all its images is never drawn.
    return np.maximum(np.asarray(counts, np.float64), 1)
