"""Multi-similarity loss."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from dce_tf.losses import LOSSES
from dce_tf.losses.base import check_positive, log_sum_exp
from dce_tf.losses.pairs import Compared, PairLoss
from dce_tf.miners import Miner


@LOSSES.register("multi_similarity")
class MultiSimilarityLoss(PairLoss):
    """Weighs pairs by their own similarity and by that of the other pairs.

    1/α log(1 + Σ_p exp(−α (S_ap − λ))) + 1/β log(1 + Σ_n exp(β (S_an − λ))), averaged
    over anchors, with cosine similarity S (Wang et al., CVPR 2019, equation 15).

    Args:
        alpha: α, for positives.
        beta: β, for negatives.
        base: λ, as a cosine similarity.
        miner: Picks the pairs: a miner or the name of one; by default the paper's.

    Call arguments and result: see `MetricLoss`.
    """

    def __init__(
        self,
        alpha: float = 2.0,
        beta: float = 50.0,
        base: float = 0.5,
        miner: Miner | str = "multi_similarity",
    ) -> None:
        super().__init__(miner, name="multi_similarity_loss")
        check_positive("multi_similarity", alpha=alpha, beta=beta)
        self.alpha = alpha
        self.beta = beta
        self.base = base

    def combine(self, compared: Compared) -> Any:
        gap = compared.similarity - self.base
        positive = log_sum_exp(-self.alpha * gap, compared.positive, one=True)
        negative = log_sum_exp(self.beta * gap, compared.negative, one=True)
        return tf.reduce_mean(positive / self.alpha + negative / self.beta)
