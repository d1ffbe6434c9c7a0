"""Circle loss."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from dce_tf.losses import LOSSES
from dce_tf.losses.base import check_positive, log_sum_exp, mean_where
from dce_tf.losses.pairs import Compared, PairLoss
from dce_tf.miners import Miner


@LOSSES.register("circle")
class CircleLoss(PairLoss):
    """Gives each similarity its own pace: the farther from its optimum, the faster.

    log(1 + Σ_n exp(γ α_n (s_n − m)) Σ_p exp(−γ α_p (s_p − 1 + m))) with α_p =
    relu(1 + m − s_p) and α_n = relu(s_n + m), averaged over anchors (Sun et al., CVPR
    2020, equation 8). No gradient flows through α.

    Args:
        margin: m, 0 to 1.
        scale: γ.
        miner: Picks the pairs: a miner or the name of one.

    Call arguments and result: see `MetricLoss`.
    """

    def __init__(
        self, margin: float = 0.4, scale: float = 80.0, miner: Miner | str = "all"
    ) -> None:
        super().__init__(miner, name="circle_loss")
        check_positive("circle", scale=scale)
        self.margin = margin
        self.scale = scale

    def combine(self, compared: Compared) -> Any:
        s = compared.similarity
        pace_p = tf.stop_gradient(tf.nn.relu(1 + self.margin - s))
        pace_n = tf.stop_gradient(tf.nn.relu(s + self.margin))
        positive = log_sum_exp(
            -self.scale * pace_p * (s - 1 + self.margin), compared.positive
        )
        negative = log_sum_exp(
            self.scale * pace_n * (s - self.margin), compared.negative
        )
        both = tf.reduce_any(compared.positive > 0, 1) & tf.reduce_any(
            compared.negative > 0, 1
        )
        return mean_where(
            tf.nn.softplus(tf.where(both, positive + negative, 0.0)), both
        )
