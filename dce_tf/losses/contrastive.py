"""Contrastive loss."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from dce_tf.losses import LOSSES
from dce_tf.losses.base import check_positive, mean_where
from dce_tf.losses.pairs import Compared, PairLoss
from dce_tf.miners import Miner


@LOSSES.register("contrastive")
class ContrastiveLoss(PairLoss):
    """Pulls positives to one place and pushes negatives out of a radius.

    The mean of relu(D_ap − positive_margin)^power over positive pairs that are not yet
    0, plus that of relu(negative_margin − D_an)^power over negative ones (Hadsell et
    al., CVPR 2006, equation 4).

    Args:
        positive_margin: Nearer positives are near enough, as a distance.
        negative_margin: Farther negatives are far enough, as a distance, 0 to 2.
        power: 2 as in the paper, or 1.
        miner: Picks the pairs: a miner or the name of one.

    Call arguments and result: see `MetricLoss`.
    """

    def __init__(
        self,
        positive_margin: float = 0.0,
        negative_margin: float = 1.0,
        power: float = 2.0,
        miner: Miner | str = "all",
    ) -> None:
        super().__init__(miner, name="contrastive_loss")
        check_positive("contrastive", negative_margin=negative_margin, power=power)
        self.positive_margin = positive_margin
        self.negative_margin = negative_margin
        self.power = power

    def combine(self, compared: Compared) -> Any:
        terms = (
            (compared.distances - self.positive_margin, compared.positive),
            (self.negative_margin - compared.distances, compared.negative),
        )
        return sum(
            mean_where(tf.nn.relu(gap) ** self.power, tf.where(gap > 0, weights, 0.0))
            for gap, weights in terms
        )
