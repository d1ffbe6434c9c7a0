"""How much two labellings tell of each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def normalized_mutual_information(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    """Returns the mutual information divided by the mean of the two entropies.

    Args:
        a: Integer label of each item, `(num_items,)`; items below 0 in either do not
            count.
        b: Likewise.

    Returns:
        0 to 1. By definition 1 if both put everything into one group.
    """
    counted = (a >= 0) & (b >= 0)
    a, b = np.unique(a[counted], return_inverse=True)[1], b[counted]
    b = np.unique(b, return_inverse=True)[1]
    joint = _entropy(a.astype(np.int64) * (b.max(initial=0) + 1) + b)
    entropies = _entropy(a), _entropy(b)
    if not any(entropies):
        return 1.0
    return float(np.clip(2 * (1 - joint / sum(entropies)), 0, 1))


def _entropy(labels: npt.NDArray[Any]) -> float:
    share = np.unique(labels, return_counts=True)[1] / max(1, len(labels))
    return float(-np.sum(share * np.log(share)))
