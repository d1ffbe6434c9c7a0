"""Triplet losses."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from dce_tf.base.errors import UsageError
from dce_tf.losses import LOSSES
from dce_tf.losses.base import mean_where
from dce_tf.losses.blocks import by_rows
from dce_tf.losses.pairs import Compared, PairLoss
from dce_tf.miners import Miner
from dce_tf.miners.pairs import extreme

_KINDS = ("all", "semi_hard", "hard")


@LOSSES.register("triplet")
class TripletLoss(PairLoss):
    """Pushes negatives farther from an anchor than positives, by a margin.

    relu(D_ap − D_an + margin), averaged over

    - `"all"`: the triplets of the mined pairs that are not yet 0 ("batch all", Hermans
      et al. 2017; memory grows with the cube of the batch),
    - `"semi_hard"`: positive pairs, each with the nearest negative farther than the
      positive, or the farthest negative if there is none (Schroff et al., CVPR 2015),
    - `"hard"`: anchors, with their farthest positive and nearest negative ("batch
      hard", Hermans et al. 2017).

    Args:
        margin: As a distance.
        kind: `"all"`, `"semi_hard"` or `"hard"`.
        soft: Softplus of D_ap − D_an instead; there is no margin then.
        miner: Picks the pairs: a miner or the name of one.

    Call arguments and result: see `MetricLoss`.

    Raises:
        UsageError: If `kind` is none of the three.
    """

    def __init__(
        self,
        margin: float = 0.2,
        kind: str = "semi_hard",
        soft: bool = False,
        miner: Miner | str = "all",
    ) -> None:
        super().__init__(miner, name="triplet_loss")
        if kind not in _KINDS:
            raise UsageError(
                f"triplet(kind={kind!r}): expected one of {', '.join(_KINDS)}."
            )
        self.margin = margin
        self.kind = kind
        self.soft = soft

    def combine(self, compared: Compared) -> Any:
        positive, negative = compared.positive > 0, compared.negative > 0
        both = tf.reduce_any(positive, 1) & tf.reduce_any(negative, 1)
        distances = compared.distances
        if self.kind == "hard":
            farthest = extreme(distances, positive, largest=True)
            nearest = extreme(distances, negative, largest=False)
            return mean_where(self._cost(farthest - nearest)[:, 0], both)
        rows = (distances, compared.positive, compared.negative)
        if self.kind == "all":
            total, weight = tf.unstack(by_rows(self._all_costs, rows), axis=1)
            return tf.reduce_sum(total) / tf.maximum(tf.reduce_sum(weight), 1e-12)
        gap = by_rows(_semi_hard_gaps, rows)
        there = tf.where(both[:, tf.newaxis], compared.positive, 0.0)
        return mean_where(self._cost(gap), there)

    def _all_costs(self, distances: Any, positive: Any, negative: Any) -> Any:
        """Returns the summed costs and weights of all triplets of some anchors."""
        costs = self._cost(distances[:, :, tf.newaxis] - distances[:, tf.newaxis, :])
        weights = positive[:, :, tf.newaxis] * negative[:, tf.newaxis, :]
        weights = tf.where(costs > 0, weights, 0.0)
        sums = (tf.reduce_sum(costs * weights, (1, 2)), tf.reduce_sum(weights, (1, 2)))
        return tf.stack(sums, axis=1)

    def _cost(self, gap: Any) -> Any:
        return tf.nn.softplus(gap) if self.soft else tf.nn.relu(gap + self.margin)


def _semi_hard_gaps(distances: Any, positive: Any, negative: Any) -> Any:
    """Returns D_ap − D_an of some anchors, n the nearest negative farther than p.

    Where there is none, n is the farthest negative.
    """
    del positive
    negative = negative > 0
    gaps = distances[:, :, tf.newaxis] - distances[:, tf.newaxis, :]
    behind = negative[:, tf.newaxis, :] & (gaps < 0)
    nearest = tf.reduce_max(tf.where(behind, gaps, -1e9), axis=2)
    farthest = extreme(distances, negative, largest=True)
    return tf.where(tf.reduce_any(behind, 2), nearest, distances - farthest)
