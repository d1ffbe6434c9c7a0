"""SoftTriple loss."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from dce_tf.base.errors import UsageError
from dce_tf.losses import LOSSES
from dce_tf.losses.base import check_positive
from dce_tf.losses.proxies import ProxyLoss, cross_entropy


@LOSSES.register("soft_triple")
class SoftTripleLoss(ProxyLoss):
    """Classifies by similarity to several centres of each class.

    S_c = Σ_k softmax_k(xᵀw_ck/γ) xᵀw_ck; cross-entropy of λ S_c, with λ (S_y − δ) for
    the right class, plus τ times half the mean of √(2 − 2 w_cjᵀw_ck) over pairs of
    centres of one class, which joins superfluous ones (Qian et al., ICCV 2019,
    equations 6 to 8: the sum over j < k, divided by C K (K − 1)).

    Args:
        num_classes: How many classes there are; labels must be below.
        num_centers: Centres per class.
        scale: λ.
        gamma: γ.
        margin: δ, as a cosine.
        tau: τ, weight of the regulariser.

    Call arguments and result: see `MetricLoss`.

    Raises:
        UsageError: If there are fewer than 2 centres.
    """

    def __init__(
        self,
        num_classes: int,
        num_centers: int = 10,
        scale: float = 20.0,
        gamma: float = 0.1,
        margin: float = 0.01,
        tau: float = 0.2,
    ) -> None:
        if num_centers < 2:
            raise UsageError(
                f"soft_triple(num_centers={num_centers}): expected 2 or more; "
                "normalized_softmax has one."
            )
        super().__init__(num_classes, num_centers, name="soft_triple_loss")
        check_positive("soft_triple", scale=scale, gamma=gamma)
        self.scale = scale
        self.gamma = gamma
        self.margin = margin
        self.tau = tau

    def call(
        self, labels: Any, embedding: Any, learner: Any = None, seed: Any = None
    ) -> Any:
        del seed
        similarity = self.similarities(embedding, learner)
        share = tf.nn.softmax(similarity / self.gamma, axis=2)
        relaxed = tf.reduce_sum(share * similarity, axis=2)
        right = tf.one_hot(labels, self.num_classes)
        fit = cross_entropy(self.scale * (relaxed - self.margin * right), labels)
        return fit + self.tau * self._spread(learner)

    def _spread(self, learner: Any) -> Any:
        centers = self._part(tf.convert_to_tensor(self.proxies), learner)
        shape = (self.num_classes, self.num_centers, centers.shape[-1])
        centers = tf.reshape(centers, shape)
        inner = tf.matmul(centers, centers, transpose_b=True)
        gaps = tf.sqrt(tf.maximum(2 - 2 * inner, 1e-10))
        pairs = tf.linalg.band_part(1 - tf.eye(self.num_centers), 0, -1)  # j < k.
        count = self.num_classes * self.num_centers * (self.num_centers - 1)
        return tf.reduce_sum(gaps * pairs) / count
