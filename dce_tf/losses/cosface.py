"""CosFace loss."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from dce_tf.losses import LOSSES
from dce_tf.losses.base import Space, check_positive
from dce_tf.losses.proxies import ProxyLoss, cross_entropy


@LOSSES.register("cosface")
class CosFaceLoss(ProxyLoss):
    """Classifies by cosine, with a margin on the cosine to the right class.

    Cross-entropy of s·cos(θ_c), with s·(cos θ_y − m) for the right class (Wang et al.,
    CVPR 2018, equation 4).

    Args:
        space: The embedding space, and how many classes there are.
        margin: m, as a cosine.
        scale: s.

    Call arguments and result: see `MetricLoss`.
    """

    def __init__(self, space: Space, margin: float = 0.35, scale: float = 64.0) -> None:
        super().__init__(space, name="cosface_loss")
        check_positive("cosface", scale=scale)
        self.margin = margin
        self.scale = scale

    def call(
        self, embedding: Any, labels: Any, learner: Any = None, seed: Any = None
    ) -> Any:
        del seed
        cosine = self.similarities(embedding, learner)
        right = tf.one_hot(labels, self.num_classes)
        return cross_entropy(self.scale * (cosine - self.margin * right), labels)
