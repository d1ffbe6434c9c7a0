"""Normalised softmax loss."""

from __future__ import annotations

from typing import Any

from dce_tf.losses import LOSSES
from dce_tf.losses.base import check_positive
from dce_tf.losses.proxies import ClassifyingLoss, cross_entropy


@LOSSES.register("normalized_softmax")
class NormalizedSoftmaxLoss(ClassifyingLoss):
    """Classifies by cosine similarity to a proxy of each class.

    Cross-entropy of cos(x, p_c)/τ (Zhai and Wu, BMVC 2019, equation 3).

    Args:
        num_classes: How many classes there are; labels must be below.
        temperature: τ.
        num_centers: Proxies of each class, of which the nearest counts.
        smoothing: Share of the target that all classes have, 0 to below 1.

    Call arguments and result: see `MetricLoss`.
    """

    def __init__(
        self,
        num_classes: int,
        temperature: float = 0.05,
        num_centers: int = 1,
        smoothing: float = 0.0,
    ) -> None:
        super().__init__(num_classes, num_centers, smoothing, name="normalized_softmax")
        check_positive("normalized_softmax", temperature=temperature)
        self.temperature = temperature

    def call(
        self, labels: Any, embedding: Any, learner: Any = None, seed: Any = None
    ) -> Any:
        del seed
        logits = self.class_similarities(embedding, learner) / self.temperature
        return cross_entropy(logits, labels, self.smoothing)
