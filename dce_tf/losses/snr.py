"""Signal-to-noise ratio loss."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from dce_tf.losses import LOSSES
from dce_tf.losses.base import mean_where
from dce_tf.losses.pairs import Compared, PairLoss
from dce_tf.miners import Miner


@LOSSES.register("snr")
class SNRLoss(PairLoss):
    """Contrastive loss on the noise that turns the anchor into the other image.

    d_ao = Var(a − o) / Var(a), the variance over the components; the mean of
    relu(d_ap − positive_margin) over positive pairs that are not yet 0, plus that of
    relu(negative_margin − d_an) over negative ones, plus λ times the mean |Σ a_i| over
    anchors, which keeps their means at 0 (Yuan et al., CVPR 2019, equations 5 to 8).

    Args:
        positive_margin: As a ratio.
        negative_margin: As a ratio.
        regularizer: λ.
        miner: Picks the pairs: a miner or the name of one.

    Call arguments and result: see `MetricLoss`.
    """

    def __init__(
        self,
        positive_margin: float = 0.01,
        negative_margin: float = 0.2,
        regularizer: float = 0.1,
        miner: Miner | str = "all",
    ) -> None:
        super().__init__(miner, name="snr_loss")
        self.positive_margin = positive_margin
        self.negative_margin = negative_margin
        self.regularizer = regularizer

    def combine(self, compared: Compared) -> Any:
        anchors, others = (
            part - tf.reduce_mean(part, axis=1, keepdims=True)
            for part in (compared.anchors, compared.others)
        )
        signal = tf.reduce_sum(tf.square(anchors), axis=1, keepdims=True)
        noise = (
            signal
            + tf.reduce_sum(tf.square(others), axis=1)
            - 2 * tf.matmul(anchors, others, transpose_b=True)
        )
        ratio = tf.nn.relu(noise) / tf.maximum(signal, 1e-6)
        terms = (
            (ratio - self.positive_margin, compared.positive),
            (self.negative_margin - ratio, compared.negative),
        )
        pairs = sum(
            mean_where(tf.nn.relu(gap), tf.where(gap > 0, weights, 0.0))
            for gap, weights in terms
        )
        sums = tf.abs(tf.reduce_sum(compared.anchors, axis=1))
        return pairs + self.regularizer * tf.reduce_mean(sums)
