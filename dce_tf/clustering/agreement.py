"""How much two labellings of the same items agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

Counts = npt.NDArray[np.int64]


def normalized_mutual_information(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    """Returns the mutual information divided by the mean of the two entropies.

    Args:
        a: Integer label of each item, `(num_items,)`; items below 0 in either do not
            count.
        b: The same of the other grouping.

    Returns:
        0 to 1. By definition 1 if both put everything into one group.
    """
    mine, theirs, joint = _group_sizes(a, b)
    entropies = _entropy(mine) + _entropy(theirs)
    if not entropies:
        return 1.0
    return float(np.clip(2 * (1 - _entropy(joint) / entropies), 0, 1))


def adjusted_mutual_information(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    """Returns the mutual information beyond what groups of these sizes have by chance.

    (MI − E[MI]) / (mean entropy − E[MI]), with the expectation over all ways to deal
    the items into groups of the same sizes (Vinh et al., JMLR 2010, equation 24).

    Args:
        a: As of `normalized_mutual_information`.
        b: The same of the other grouping.

    Returns:
        At most 1; 0 on average for random groups. By definition 1 if both put
        everything into one group, or every item into its own.
    """
    mine, theirs, joint = _group_sizes(a, b)
    mean = (_entropy(mine) + _entropy(theirs)) / 2
    shared = 2 * mean - _entropy(joint)
    expected = _expected_information(mine, theirs)
    if mean - expected < 1e-12 * max(1.0, mean):
        return 1.0
    return float((shared - expected) / (mean - expected))


def pairwise_f1(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    """Returns the harmonic mean of precision and recall over pairs of items.

    A pair in one group of `a` is right if it is in one of `b` (Manning et al.,
    Introduction to Information Retrieval, chapter 16.3).

    Args:
        a: As of `normalized_mutual_information`.
        b: The same of the other grouping.

    Returns:
        0 to 1; by definition 0 if neither has a pair in one group.
    """
    mine, theirs, joint = (_num_pairs(sizes) for sizes in _group_sizes(a, b))
    return 2 * joint / (mine + theirs) if mine + theirs else 0.0


def _group_sizes(
    a: npt.NDArray[Any], b: npt.NDArray[Any]
) -> tuple[Counts, Counts, Counts]:
    """Returns the sizes of the groups of each, and of what two groups share."""
    counted = (a >= 0) & (b >= 0)
    a = np.unique(a[counted], return_inverse=True)[1]
    b = np.unique(b[counted], return_inverse=True)[1]
    both = a.astype(np.int64) * (b.max(initial=0) + 1) + b
    return np.bincount(a), np.bincount(b), np.unique(both, return_counts=True)[1]


def _entropy(sizes: Counts) -> float:
    share = sizes / max(1, sizes.sum())
    return float(-np.sum(share * np.log(share)))


def _num_pairs(sizes: Counts) -> int:
    return int(np.sum(sizes * (sizes - 1) // 2))


def _expected_information(mine: Counts, theirs: Counts) -> float:
    """Returns E[MI]; groups of the same size have the same share in it."""
    n = int(mine.sum())
    total = 0.0
    of_mine = zip(*np.unique(mine, return_counts=True), strict=True)
    of_theirs = list(zip(*np.unique(theirs, return_counts=True), strict=True))
    for size, times in of_mine:
        for other, other_times in of_theirs:
            shared = np.arange(max(1, size + other - n), min(size, other) + 1)
            log_probability = (
                gammaln(size + 1)
                + gammaln(other + 1)
                + gammaln(n - size + 1)
                + gammaln(n - other + 1)
                - gammaln(n + 1)
                - gammaln(shared + 1)
                - gammaln(size - shared + 1)
                - gammaln(other - shared + 1)
                - gammaln(n - size - other + shared + 1)
            )
            information = shared / n * np.log(n * shared / (size * other))
            total += times * other_times * np.sum(information * np.exp(log_probability))
    return float(total)
