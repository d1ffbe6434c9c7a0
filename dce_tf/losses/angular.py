"""Angular loss."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from dce_tf.base.errors import UsageError
from dce_tf.losses import LOSSES
from dce_tf.losses.base import log_sum_exp, mean_where
from dce_tf.losses.blocks import by_rows
from dce_tf.losses.pairs import Compared, PairLoss
from dce_tf.miners import Miner


@LOSSES.register("angular")
class AngularLoss(PairLoss):
    """Limits the angle at the negative of a triplet, whatever its size.

    log(1 + Σ_n exp(4 tan²α (a + p)ᵀn − 2 (1 + tan²α) aᵀp)), averaged over positive
    pairs (Wang et al., ICCV 2017, equation 6). Memory grows with the cube of the batch.

    Args:
        angle: α in degrees, 0 to 90.
        miner: Picks the pairs: a miner or the name of one.

    Call arguments and result: see `MetricLoss`.

    Raises:
        UsageError: If the angle is out of range.
    """

    def __init__(self, angle: float = 40.0, miner: Miner | str = "all") -> None:
        super().__init__(miner, name="angular_loss")
        if not 0 < angle < 90:
            raise UsageError(f"angular(angle={angle}): expected degrees, 0 to 90.")
        self.squared_tangent = math.tan(math.radians(angle)) ** 2

    def combine(self, compared: Compared) -> Any:
        among_others = tf.matmul(compared.others, compared.others, transpose_b=True)
        losses = by_rows(
            self._of_pairs, (compared.similarity, compared.negative), (among_others,)
        )
        return mean_where(losses, compared.positive)

    def _of_pairs(self, similarity: Any, negative: Any, among_others: Any) -> Any:
        """Returns the loss of each anchor with each other as its positive."""
        num_others = tf.shape(among_others)[0]
        # Of anchor a, other p and other n: (a + p)ᵀn.
        sums = similarity[:, tf.newaxis, :] + among_others
        pair = similarity[:, :, tf.newaxis]
        terms = 4 * self.squared_tangent * sums - 2 * (1 + self.squared_tangent) * pair
        negatives = tf.repeat(negative, num_others, axis=0)
        flat = tf.reshape(terms, (-1, num_others))
        losses = log_sum_exp(flat, negatives, one=True)
        return tf.reshape(losses, (-1, among_others.shape[0] or num_others))
