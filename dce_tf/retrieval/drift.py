"""Whether queries still look like the gallery: a distance and a two-sample test."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt

BLOCK = 50
"""Embeddings of either kind per block of the test."""

FEWEST = 10 * BLOCK
"""Fewer queries than this make too few blocks for a test."""

_FOR_BANDWIDTH = 500

Vectors = npt.NDArray[np.floating]


@dataclasses.dataclass(frozen=True)
class Drift:
    """How far queries lie from a gallery.

    Attributes:
        mean_distance: 1 − the cosine between the means of queries and gallery.
        mmd: Squared maximum mean discrepancy, about 0 where both are drawn alike.
        z: `mmd` in units of its standard error. Where both are drawn alike it is about
            normal, so that more than 3 is rare.
    """

    mean_distance: float
    mmd: float
    z: float


def measure_drift(queries: Vectors, gallery: Vectors, *, seed: int = 0) -> Drift:
    """Compares queries with a gallery.

    The test is the B-test (Zaremba et al., NeurIPS 2013): the unbiased estimate of the
    squared maximum mean discrepancy (Gretton et al., JMLR 2012), averaged over blocks,
    so that its cost grows with the number of embeddings and not with its square. The
    kernel is Gaussian; its bandwidth is the median distance within the gallery.

    Args:
        queries: Embeddings `(num_queries, dim)`, of any length above 0.
        gallery: Embeddings `(num_records, dim)`, of any length above 0.
        seed: Decides which come into one block.

    Raises:
        ValueError: If there are fewer than `FEWEST` of either, or the widths differ.
    """
    if min(len(queries), len(gallery)) < FEWEST:
        raise ValueError(
            f"Expected {FEWEST} queries and as many records at least; received "
            f"{len(queries)} and {len(gallery)}."
        )
    if queries.shape[1] != gallery.shape[1]:
        raise ValueError(
            f"Expected embeddings of one model; received {queries.shape[1]} and "
            f"{gallery.shape[1]} numbers."
        )
    rng = np.random.default_rng(seed)
    x, y = (rng.permutation(_unit(each)) for each in (queries, gallery))
    variance = _squared_distances(y[:_FOR_BANDWIDTH], y[:_FOR_BANDWIDTH])
    width = float(np.median(variance[~np.eye(len(variance), dtype=bool)])) or 1.0
    blocks = min(len(x), len(y)) // BLOCK
    found = np.array(
        [
            _unbiased_mmd(x[block], y[block], width)
            for block in (slice(n * BLOCK, (n + 1) * BLOCK) for n in range(blocks))
        ]
    )
    error = float(found.std(ddof=1)) / math.sqrt(blocks)
    mmd = float(found.mean())
    z = mmd / error if error > 0 else 0.0
    return Drift(_mean_distance(x, y), mmd, z)


def _unit(vectors: Vectors) -> Vectors:
    wide = vectors.astype(np.float64)
    return wide / np.linalg.norm(wide, axis=1, keepdims=True)


def _squared_distances(x: Vectors, y: Vectors) -> Vectors:
    # Of unit length; rounding must not bring one below 0.
    return np.maximum(2 - 2 * (x @ y.T), 0)


def _unbiased_mmd(x: Vectors, y: Vectors, width: float) -> float:
    within_x, within_y, across = (
        np.exp(-_squared_distances(*pair) / (2 * width))
        for pair in ((x, x), (y, y), (x, y))
    )
    kernel = within_x + within_y - across - across.T
    np.fill_diagonal(kernel, 0)
    return float(kernel.sum() / (len(x) * (len(x) - 1)))


def _mean_distance(x: Vectors, y: Vectors) -> float:
    means = [each.mean(axis=0) for each in (x, y)]
    lengths = [float(np.linalg.norm(each)) for each in means]
    if min(lengths) == 0:
        return 1.0  # All directions alike: a mean that points nowhere.
    return float(1 - means[0] @ means[1] / lengths[0] / lengths[1])
