"""How alike two images of one class are, and two of different ones: exact counts."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from dce_tf.retrieval.pair_tiles import STEPS, PairSet, Tile
from dce_tf.retrieval.ranking import Keys

Counts = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True, eq=False)
class PairHistogram:
    """Pairs counted by their cosine.

    Attributes:
        positive: Pairs of one class at each grid point, int64 `(STEPS + 1,)`.
        negative: Pairs of two classes, the same way.
    """

    positive: Counts
    negative: Counts

    @classmethod
    def empty(cls) -> PairHistogram:
        """Returns the histogram of no pair."""
        return cls(np.zeros(STEPS + 1, np.int64), np.zeros(STEPS + 1, np.int64))

    def __add__(self, other: PairHistogram) -> PairHistogram:
        return PairHistogram(
            self.positive + other.positive, self.negative + other.negative
        )


def threshold_at(point: Any) -> Any:
    """Returns the lowest cosine that is rounded to a grid point."""
    return (2 * np.asarray(point, np.float64) - 1) / STEPS - 1


def cosine_at(point: Any) -> Any:
    """Returns the cosine of a grid point."""
    return 2 * np.asarray(point, np.float64) / STEPS - 1


def count_pairs(pairs: PairSet) -> PairHistogram:
    """Counts the pairs of a search by their cosine.

    No matrix of all pairs is made: tiles of it are products of matrices, rounded to
    the grid and counted, on all cores. Of one set of images each pair counts once.

    Args:
        pairs: The pairs.

    Raises:
        ValueError: If there is no pair of one class, or none of two.
    """
    positive, negative = np.zeros((2, STEPS + 1), np.int64)

    def count(_: Keys, tile: Tile) -> tuple[Counts, Counts]:
        everything = _histogram(tile.points)
        own = _histogram(tile.points[tile.positive])
        return own, everything - own - _histogram(tile.points[tile.hidden])

    for own, others in pairs.map(count, once=True):
        positive += own
        negative += others
    _check(int(positive.sum()), int(negative.sum()), pairs)
    return PairHistogram(positive, negative)


def _histogram(points: npt.NDArray[np.intp]) -> Counts:
    counts: Counts = np.bincount(points.ravel(), minlength=STEPS + 1)
    return counts


def _check(num_positive: int, num_negative: int, pairs: PairSet) -> None:
    if num_positive and num_negative:
        return
    search = pairs.search
    missing = "of one class" if num_negative else "of two classes"
    raise ValueError(
        f"The search {search.name!r} of {len(search.query)} queries among "
        f"{len(search.gallery)} images has no pair {missing} that counts; expected "
        "pairs of one class and pairs of two, which a threshold tells apart. Give data "
        "with two classes or more, of two images or more each."
    )


@dataclasses.dataclass(frozen=True, eq=False)
class ClassCounts:
    """Pairs from the end of each class, as counted at thresholds.

    Attributes:
        positive: Pairs of the class that are at least as alike, int64 `(num_classes,
            num_thresholds)`.
        negative: Pairs of a query of the class and an image of another, the same way.
        num_positive: All pairs of the class, `(num_classes,)`.
        num_negative: All pairs of it and others.
    """

    positive: Counts
    negative: Counts
    num_positive: Counts
    num_negative: Counts


def count_by_class(pairs: PairSet, thresholds: Counts) -> ClassCounts:
    """Counts the pairs of each query's class that pass thresholds.

    Of one set of images, a pair of two classes counts for both.

    Args:
        pairs: The pairs.
        thresholds: Grid points, rising, `(num_thresholds,)`.
    """
    num_classes = len(pairs.search.gallery.class_names)
    num_parts = len(thresholds) + 1
    # Part j holds what passes j of the thresholds.
    part_of = np.searchsorted(thresholds, np.arange(STEPS + 1), side="right")

    def count(labels: Keys, tile: Tile) -> tuple[Keys, Counts, Counts]:
        parts = part_of[tile.points]
        height = np.arange(len(parts))[:, None] * num_parts
        everything = _by_row(parts + height, len(parts), num_parts)
        own, hidden = (
            _by_row(
                parts[where] + height[where[0], 0],
                len(parts),
                num_parts,
            )
            for where in (tile.positive, tile.hidden)
        )
        return labels, own, everything - own - hidden

    positive, negative = np.zeros((2, num_classes, num_parts), np.int64)
    for labels, own, others in pairs.map(count, once=False):
        np.add.at(positive, labels, own)
        np.add.at(negative, labels, others)
    passed = [each[:, ::-1].cumsum(axis=1)[:, ::-1] for each in (positive, negative)]
    return ClassCounts(
        passed[0][:, 1:], passed[1][:, 1:], passed[0][:, 0], passed[1][:, 0]
    )


def _by_row(parts: npt.NDArray[np.intp], height: int, num_parts: int) -> Counts:
    counts: Counts = np.bincount(parts.ravel(), minlength=height * num_parts)
    return counts.reshape(height, num_parts)
