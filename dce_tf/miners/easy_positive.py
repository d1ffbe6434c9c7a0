"""Easy positives, with negatives of several kinds."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from dce_tf.base.errors import UsageError
from dce_tf.miners import MINERS
from dce_tf.miners.pairs import Candidates, Pairs, counted, extreme

_NEGATIVES = ("semi_hard", "hard", "all")


@MINERS.register("easy_positive")
@dataclasses.dataclass(frozen=True)
class EasyPositive:
    """Takes the nearest positive of each anchor, so that a class need not be one lump.

    Xuan et al., "Improved embeddings with easy positive triplet mining", WACV 2020.

    Args:
        negatives: `"semi_hard"` takes the nearest negative farther than that positive,
            or the nearest of all if there is none; `"hard"` the nearest, `"all"` all.

    Raises:
        UsageError: If `negatives` is none of them.
    """

    negatives: str = "semi_hard"

    def __post_init__(self) -> None:
        if self.negatives not in _NEGATIVES:
            raise UsageError(
                f"easy_positive(negatives={self.negatives!r}): expected one of "
                f"{', '.join(_NEGATIVES)}."
            )

    def __call__(self, given: Candidates) -> Pairs:
        """Picks pairs; see `Miner`."""
        distances, positive, negative = given.distances, given.positive, given.negative
        easiest = extreme(distances, positive, largest=False)
        chosen = positive & (distances <= easiest)
        if self.negatives == "all":
            return Pairs(counted(chosen), counted(negative))
        behind = negative
        if self.negatives == "semi_hard":
            behind = negative & (distances > easiest)
            some = tf.reduce_any(behind, axis=1, keepdims=True)
            behind = tf.where(some, behind, negative)
        nearest = extreme(distances, behind, largest=False)
        return Pairs(counted(chosen), counted(behind & (distances <= nearest)))
