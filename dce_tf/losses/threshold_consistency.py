"""Threshold-consistent margins."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from dce_tf.base.errors import UsageError
from dce_tf.losses import LOSSES
from dce_tf.losses.base import mean_where
from dce_tf.losses.pairs import Compared, PairLoss
from dce_tf.miners import Miner


@LOSSES.register("tcm")
class ThresholdConsistentLoss(PairLoss):
    """Asks of every class that one cosine tells its pairs from those of others.

    The mean of m⁺ − s over positive pairs whose cosine s is below m⁺, plus that of
    s − m⁻ over negative pairs above m⁻ (Zhang et al., "Threshold-Consistent Margin
    Loss for Open-World Deep Metric Learning", ICLR 2024). It is made to be added to
    another loss: `multi_similarity() + tcm()`.

    Args:
        positive_margin: m⁺, a cosine, above `negative_margin`.
        negative_margin: m⁻, a cosine.
        miner: Picks the pairs: a miner or the name of one.

    Call arguments and result: see `MetricLoss`.

    Raises:
        UsageError: If the margins are not −1 ≤ m⁻ < m⁺ ≤ 1.
    """

    def __init__(
        self,
        positive_margin: float = 0.9,
        negative_margin: float = 0.5,
        miner: Miner | str = "all",
    ) -> None:
        super().__init__(miner, name="threshold_consistent_loss")
        if not -1 <= negative_margin < positive_margin <= 1:
            raise UsageError(
                f"tcm(positive_margin={positive_margin}, "
                f"negative_margin={negative_margin}): expected cosines, the positive "
                "one above the negative one."
            )
        self.positive_margin = positive_margin
        self.negative_margin = negative_margin

    def combine(self, compared: Compared) -> Any:
        terms = (
            (self.positive_margin - compared.similarity, compared.positive),
            (compared.similarity - self.negative_margin, compared.negative),
        )
        return sum(
            mean_where(gap, tf.where(gap > 0, weights, 0.0)) for gap, weights in terms
        )
