"""Whether two images show the same: how often a threshold is wrong either way."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dce_tf.retrieval.pair_histogram import (
    ClassCounts,
    Counts,
    PairHistogram,
    threshold_at,
)
from dce_tf.retrieval.pair_tiles import STEPS

FARS = (1e-1, 1e-2, 1e-3, 1e-4)
"""False accept rates that are reported."""

FEWEST_FALSE_ACCEPTS = 10
"""A rate that fewer pairs than this would make up is no measurement."""

OPIS_RANGE = (1e-2, 1e-1)
"""False accept rates between which `opis` compares classes."""

_OPIS_THRESHOLDS = 33

Rates = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class Roc:
    """What a threshold at each grid point accepts; one row more accepts nothing.

    Attributes:
        far: Share of the pairs of two classes that are accepted, `(STEPS + 2,)`,
            falling from 1 to 0.
        tar: Share of the pairs of one class that are accepted, the same way.
        num_positive: Pairs of one class.
        num_negative: Pairs of two.
    """

    far: Rates
    tar: Rates
    num_positive: int
    num_negative: int

    @classmethod
    def of(cls, histogram: PairHistogram) -> Roc:
        """Returns the curve of counted pairs; there are some of either kind."""
        far, tar = (
            np.append(each[::-1].cumsum()[::-1], 0) / each.sum()
            for each in (histogram.negative, histogram.positive)
        )
        num_positive, num_negative = (
            int(each.sum()) for each in (histogram.positive, histogram.negative)
        )
        return cls(far, tar, num_positive, num_negative)

    @property
    def area(self) -> float:
        """Area under the curve: how often a positive pair is more alike, ties half."""
        steps = -np.diff(self.far)
        return float(steps @ (self.tar[:-1] + self.tar[1:]) / 2)

    @property
    def equal_error_rate(self) -> float:
        """The rate at which as many are wrongly accepted as wrongly refused.

        Between two thresholds, where the straight line of the curve crosses.
        """
        apart = self.far - (1 - self.tar)
        after = int(np.flatnonzero(apart <= 0)[0])
        if after == 0:
            return float(self.far[0])
        high, low = apart[after - 1], apart[after]
        share = high / (high - low)
        return float((1 - share) * self.far[after - 1] + share * self.far[after])

    def point_at(self, far: float) -> int:
        """Returns the lowest grid point as threshold at which the rate is kept.

        Args:
            far: The rate of false accepts that may not be exceeded.

        Returns:
            A grid point; `STEPS + 1`, which accepts nothing, where none is high enough.
        """
        # Rates are quotients of whole numbers: rounding must not cost a step.
        return int(np.flatnonzero(self.far <= far * (1 + 1e-12))[0])

    def is_carried(self, far: float) -> bool:
        """Whether there are enough pairs of two classes to measure a rate."""
        return far * self.num_negative >= FEWEST_FALSE_ACCEPTS

    def at(self, far: float) -> dict[str, float] | None:
        """Returns what a threshold for a rate does.

        Args:
            far: The rate of false accepts that may not be exceeded.

        Returns:
            `threshold`, a cosine; `tar` and `far` there. None if there are too few
            pairs to measure it.
        """
        if not self.is_carried(far):
            return None
        point = self.point_at(far)
        return {
            "threshold": float(threshold_at(point)),
            "tar": float(self.tar[point]),
            "far": float(self.far[point]),
        }


def describe_uncarried(roc: Roc, fars: Sequence[float]) -> str | None:
    """Says which rates the number of pairs does not carry, if there are any."""
    missing = [far for far in fars if not roc.is_carried(far)]
    if not missing:
        return None
    return (
        f"{roc.num_negative:,} pairs of two classes do not carry a FAR of "
        f"{' or '.join(f'{far:g}' for far in missing)}: "
        f"{FEWEST_FALSE_ACCEPTS} false accepts at {min(missing):g} need "
        f"{FEWEST_FALSE_ACCEPTS / min(missing):,.0f} of them."
    )


def opis_points(roc: Roc) -> Counts | None:
    """Returns the thresholds at which `opis` compares classes, as grid points.

    Returns:
        Evenly spaced, rising; None where the pairs do not carry the range.
    """
    least, most = OPIS_RANGE
    if not roc.is_carried(least):
        return None
    ends = roc.point_at(most), min(roc.point_at(least), STEPS)
    return np.linspace(*ends, _OPIS_THRESHOLDS).round().astype(np.int64)


def opis(counts: ClassCounts) -> float | None:
    """Returns how much classes differ in what one threshold does to them.

    Of each class with pairs of both kinds, the utility at a threshold is the harmonic
    mean of the share of its own pairs that are accepted and the share of its pairs with
    others that are refused. The score is the mean, over classes and thresholds, of the
    squared difference from the mean utility of all classes (the operating point
    inconsistency score of Zhang et al., "Threshold-consistent margin loss for
    open-world deep metric learning", ICLR 2024). 0 is best.

    Args:
        counts: At thresholds evenly spaced over the range that is compared, here from
            the false accept rate 0.1 to 0.01.

    Returns:
        0 to 1; None if fewer than two classes have pairs of both kinds.
    """
    usable = (counts.num_positive > 0) & (counts.num_negative > 0)
    if np.count_nonzero(usable) < 2:
        return None
    sensitivity = counts.positive[usable] / counts.num_positive[usable, None]
    specificity = 1 - counts.negative[usable] / counts.num_negative[usable, None]
    total = sensitivity + specificity
    utility = 2 * sensitivity * specificity / np.where(total > 0, total, 1)
    squares = np.square(utility - utility.mean(axis=0)).mean(axis=0)
    # The thresholds stand for the range between the first and the last.
    return float((squares[:-1] + squares[1:]).mean() / 2)
