"""Clusters of like size."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dce_tf.clustering.kmeans import KMeansResult
from dce_tf.clustering.points import Points, Vectors, cluster_means

_ROUNDS = 5  # Of moving points, then centroids; sizes hold after each.


def balance_clusters(
    points: Points | Vectors, result: KMeansResult, factor: float
) -> KMeansResult:
    """Moves points so that no cluster is larger or smaller than the mean by a factor.

    The points that lose least by it move: full clusters keep those that are nearest to
    them compared with the next best cluster with room; clusters that lack points then
    take the cheapest ones of those that have more than enough. Centroids follow.

    Args:
        points: float32 `(num_points, dim)`; may be memory-mapped, but what each costs
            in each cluster is in memory, float64 `(num_points, num_clusters)`.
        result: The clusters to begin with.
        factor: 1 or more: sizes lie between mean / factor and mean · factor, as far as
            whole numbers allow.

    Returns:
        The clusters.

    Raises:
        ValueError: If the factor is below 1.
    """
    if factor < 1:
        raise ValueError(f"A balance of {factor}: expected a factor of 1 or more.")
    if not isinstance(points, Points):
        points = Points(points)
    num_clusters = len(result.centroids)
    mean = len(points) / num_clusters
    # 50 · 1.1 is a little more than 55 in floating point.
    most = int(np.ceil(mean * factor - 1e-6))
    least = int(np.floor(mean / factor + 1e-6))
    centroids = result.centroids
    for _ in range(_ROUNDS):
        costs = _squared_distances(points, centroids)
        assignment = _fill(_limit(costs, most), costs, least)
        centroids = cluster_means(points, assignment, num_clusters)
    costs = _squared_distances(points, centroids)
    objective = costs[np.arange(len(points)), assignment].sum()
    return KMeansResult(assignment.astype(np.int32), centroids, float(objective))


def _squared_distances(points: Points, centroids: Vectors) -> npt.NDArray[np.float64]:
    gaps = np.empty((len(points), len(centroids)))
    lengths = np.einsum("ij,ij->i", centroids, centroids)
    for rows, values in points.blocks():
        # In float32: points may be gigabytes, which float64 would double.
        squares = np.einsum("ij,ij->i", values, values)[:, None]
        gaps[rows] = squares - 2 * (values @ centroids.T) + lengths
    return gaps


def _limit(costs: npt.NDArray[np.float64], most: int) -> npt.NDArray[np.int64]:
    """Assigns each point to its nearest cluster with room for it."""
    num_points, num_clusters = costs.shape
    assignment = np.full(num_points, -1)
    room = np.full(num_clusters, most)
    while (waiting := np.flatnonzero(assignment < 0)).size:
        open_costs = costs[waiting]
        open_costs[:, room == 0] = np.inf
        wish = open_costs.argmin(axis=1)
        # Who loses most by going elsewhere goes first.
        two = np.partition(open_costs, 1, axis=1) if num_clusters > 1 else open_costs
        regret = two[:, 1] - two[:, 0] if num_clusters > 1 else np.zeros(len(waiting))
        for cluster in np.unique(wish):
            asking = np.flatnonzero(wish == cluster)
            order = asking[np.argsort(-regret[asking], kind="stable")]
            taken = waiting[order[: room[cluster]]]
            assignment[taken] = cluster
            room[cluster] -= len(taken)
    return assignment


def _fill(
    assignment: npt.NDArray[np.int64], costs: npt.NDArray[np.float64], least: int
) -> npt.NDArray[np.int64]:
    """Gives each cluster that lacks points the cheapest that others can spare."""
    rows = np.arange(len(assignment))
    sizes = np.bincount(assignment, minlength=costs.shape[1])
    for cluster in np.flatnonzero(sizes < least):
        extra = costs[:, cluster] - costs[rows, assignment]
        for row in np.argsort(extra, kind="stable"):
            if sizes[cluster] >= least:
                break
            if assignment[row] != cluster and sizes[assignment[row]] > least:
                sizes[assignment[row]] -= 1
                assignment[row] = cluster
                sizes[cluster] += 1
    return assignment
