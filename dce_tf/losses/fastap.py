"""FastAP: average precision by histograms."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from dce_tf.base.errors import UsageError
from dce_tf.losses import LOSSES
from dce_tf.losses.base import mean_where
from dce_tf.losses.pairs import Compared, PairLoss
from dce_tf.miners import Miner


@LOSSES.register("fastap")
class FastAPLoss(PairLoss):
    """One minus the average precision of each anchor's ranking of the others.

    Squared distances, 0 to 4, fall into soft bins; with h⁺ and H⁺ the histogram of the
    positives and its running sum and H that of all, AP = Σ h⁺ H⁺ / H / N⁺ (Cakir et
    al., CVPR 2019, equation 10).

    Args:
        num_bins: How many bins cut the range.
        miner: Picks the pairs: a miner or the name of one.

    Call arguments and result: see `MetricLoss`.

    Raises:
        UsageError: If there are fewer than 2 bins.
    """

    def __init__(self, num_bins: int = 10, miner: Miner | str = "all") -> None:
        super().__init__(miner, name="fastap_loss")
        if num_bins < 2:
            raise UsageError(f"fastap(num_bins={num_bins}): expected 2 or more.")
        self.num_bins = num_bins

    def combine(self, compared: Compared) -> Any:
        width = 4 / self.num_bins
        centres = width * tf.range(self.num_bins + 1, dtype=tf.float32)
        squares = 2 - 2 * compared.similarity[:, :, tf.newaxis]
        pulses = tf.nn.relu(1 - tf.abs(squares - centres) / width)
        of_positives = tf.einsum("aob,ao->ab", pulses, compared.positive)
        of_negatives = tf.einsum("aob,ao->ab", pulses, compared.negative)
        running = tf.cumsum(of_positives, axis=1)
        everything = running + tf.cumsum(of_negatives, axis=1)
        count = tf.reduce_sum(compared.positive, axis=1)
        ratio = of_positives * running / tf.maximum(everything, 1e-6)
        precision = tf.reduce_sum(ratio, axis=1) / tf.maximum(count, 1)
        return mean_where(1 - precision, count > 0)
