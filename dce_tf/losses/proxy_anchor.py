"""Proxy-Anchor loss."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from dce_tf.batch.distances import same_class
from dce_tf.losses import LOSSES
from dce_tf.losses.base import check_positive, log_sum_exp, mean_where
from dce_tf.losses.proxies import ProxyLoss


@LOSSES.register("proxy_anchor")
class ProxyAnchorLoss(ProxyLoss):
    """Makes each proxy an anchor for all images of the batch.

    The mean of log(1 + Σ_x exp(−α (s(x, p) − δ))) over the proxies p of classes in the
    batch, x over images of its class, plus the mean of log(1 + Σ_x exp(α (s(x, p) +
    δ))) over all proxies, x over the other images (Kim et al., CVPR 2020, equation 4).

    Args:
        num_classes: How many classes there are; labels must be below.
        alpha: α, how much hard images count more.
        margin: δ, as a cosine.

    Call arguments and result: see `MetricLoss`.
    """

    def __init__(
        self, num_classes: int, alpha: float = 32.0, margin: float = 0.1
    ) -> None:
        super().__init__(num_classes, name="proxy_anchor_loss")
        check_positive("proxy_anchor", alpha=alpha)
        self.alpha = alpha
        self.margin = margin

    def call(
        self, labels: Any, embedding: Any, learner: Any = None, seed: Any = None
    ) -> Any:
        del seed
        similarity = tf.transpose(self.similarities(embedding, learner))
        same = same_class(tf.range(self.num_classes, dtype=tf.int64), labels)
        pull = log_sum_exp(-self.alpha * (similarity - self.margin), same, one=True)
        push = log_sum_exp(self.alpha * (similarity + self.margin), ~same, one=True)
        return mean_where(pull, tf.reduce_any(same, axis=1)) + tf.reduce_mean(push)
