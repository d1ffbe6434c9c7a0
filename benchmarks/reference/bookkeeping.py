"""Between k-means and the batches: matching and lone images, in Python loops."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import faiss
import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

Assignment = npt.NDArray[np.int64]


def cluster(
    features: npt.NDArray[np.float32], num_clusters: int, seed: int = 0
) -> Assignment:
    """Clusters features, scaled to unit length, with FAISS in 100 iterations."""
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    points = (features / norms).astype(np.float32)
    kmeans = faiss.Kmeans(
        points.shape[1],
        num_clusters,
        niter=100,
        nredo=1,
        seed=seed,
        min_points_per_centroid=1,
        max_points_per_centroid=10**9,
    )
    kmeans.train(points)
    _, nearest = kmeans.index.search(points, 1)
    return nearest[:, 0]


def match(old: Assignment, new: Assignment, num_clusters: int) -> Assignment:
    """Renumbers new clusters after the old ones, by the inverse permutation.

    One set of images per cluster, the sizes of the symmetric differences of pairs,
    and the Hungarian method. That the permutation is the inverse of the right one is
    the reference program's error, kept.
    """
    old_sets = [set(np.flatnonzero(old == c).tolist()) for c in range(num_clusters)]
    new_sets = [set(np.flatnonzero(new == c).tolist()) for c in range(num_clusters)]
    cost = np.zeros((num_clusters, num_clusters))
    for i in range(num_clusters):
        for j in range(num_clusters):
            cost[i, j] = len(new_sets[i] ^ old_sets[j])
    _, partners = linear_sum_assignment(cost)
    inverse = np.argsort(partners)
    return inverse[new]


def without_lone(assignment: Assignment, labels: Sequence[int]) -> Assignment:
    """Returns −1 for an image that is the only one of its class in its cluster."""
    counts = Counter(zip(assignment.tolist(), labels, strict=True))
    kept = assignment.copy()
    for row, place in enumerate(zip(assignment.tolist(), labels, strict=True)):
        if counts[place] == 1:
            kept[row] = -1
    return kept


def members(assignment: Assignment, num_clusters: int) -> list[list[int]]:
    """Returns the rows of each cluster."""
    rows: list[list[int]] = [[] for _ in range(num_clusters)]
    for row, number in enumerate(assignment.tolist()):
        if number >= 0:
            rows[number].append(row)
    return rows
