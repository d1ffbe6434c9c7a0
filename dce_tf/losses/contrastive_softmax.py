"""Softmax over the others of a batch: supervised contrastive loss and NT-Xent."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from dce_tf.losses import LOSSES
from dce_tf.losses.base import check_positive, log_sum_exp, mean_where
from dce_tf.losses.pairs import Compared, PairLoss
from dce_tf.miners import Miner


@LOSSES.register("supcon")
class SupConLoss(PairLoss):
    """Finds the positives of an anchor among all others.

    For each anchor the mean over its positives of −log(exp(s_ap/τ) / Σ_o exp(s_ao/τ)),
    with o over positives and negatives, averaged over anchors with positives (Khosla et
    al., NeurIPS 2020, equation 2).

    Args:
        temperature: τ.
        miner: Picks the pairs: a miner or the name of one.

    Call arguments and result: see `MetricLoss`.
    """

    def __init__(self, temperature: float = 0.1, miner: Miner | str = "all") -> None:
        super().__init__(miner, name="supcon_loss")
        check_positive("supcon", temperature=temperature)
        self.temperature = temperature

    def combine(self, compared: Compared) -> Any:
        logits = compared.similarity / self.temperature
        count = tf.reduce_sum(compared.positive, axis=1)
        mean = tf.reduce_sum(logits * compared.positive, axis=1)
        mean = mean / tf.maximum(count, 1)
        whole = log_sum_exp(logits, compared.positive + compared.negative)
        return mean_where(whole - mean, count > 0)


@LOSSES.register("nt_xent")
class NTXentLoss(PairLoss):
    """Finds each positive of an anchor among the anchor's negatives.

    −log(exp(s_ap/τ) / (exp(s_ap/τ) + Σ_n exp(s_an/τ))), averaged over positive pairs
    (Chen et al., "SimCLR", ICML 2020, equation 1, with labels for views).

    Args:
        temperature: τ.
        miner: Picks the pairs: a miner or the name of one.

    Call arguments and result: see `MetricLoss`.
    """

    def __init__(self, temperature: float = 0.07, miner: Miner | str = "all") -> None:
        super().__init__(miner, name="nt_xent_loss")
        check_positive("nt_xent", temperature=temperature)
        self.temperature = temperature

    def combine(self, compared: Compared) -> Any:
        logits = compared.similarity / self.temperature
        rest = log_sum_exp(logits, compared.negative)[:, tf.newaxis]
        return mean_where(tf.nn.softplus(rest - logits), compared.positive)
