"""k-means over all points, with all restarts, until it stands still."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from dce_tf import faiss_backend

Points = npt.NDArray[np.float32]

_ITERATIONS_A_LOOK = 10
_ANY_NUMBER_OF_POINTS = 10**9


@dataclasses.dataclass(frozen=True, eq=False)
class KMeansResult:
    """The best of all restarts.

    Attributes:
        assignment: Cluster of each point, int32 `(num_points,)`.
        centroids: float32 `(num_clusters, dim)`.
        objective: Sum of the squared distances of the points to their centroids.
    """

    assignment: npt.NDArray[np.int32]
    centroids: Points
    objective: float


def fit_kmeans(
    points: Points,
    num_clusters: int,
    *,
    seed: int = 0,
    num_iterations: int = 100,
    num_restarts: int = 1,
    backend: str = "auto",
    tolerance: float = 1e-4,
) -> KMeansResult:
    """Clusters points with FAISS, all of them, without sub-sampling.

    Args:
        points: float32 `(num_points, dim)`.
        num_clusters: How many clusters.
        seed: Decides where it starts.
        num_iterations: Most iterations of each restart.
        num_restarts: Runs from different starts; the lowest objective wins.
        backend: `"auto"`, `"faiss"` or `"faiss-gpu"`.
        tolerance: Stop when ten iterations lower the objective by less than this
            share; 0 runs all of them.

    Returns:
        The clusters.

    Raises:
        ValueError: If there are fewer points than clusters, or a point is not finite.
    """
    points = np.ascontiguousarray(points, np.float32)
    if len(points) < num_clusters:
        raise ValueError(
            f"{len(points)} images cannot be cut into {num_clusters} clusters. "
            "Use fewer clusters."
        )
    bad = np.count_nonzero(~np.isfinite(points).all(axis=1))
    if bad:
        raise ValueError(
            f"The features of {bad} of {len(points)} images are not finite: the training "
            "has diverged. Lower the learning rates."
        )
    results = [
        _run(points, num_clusters, seed + 1000 * restart, num_iterations, backend, tolerance)
        for restart in range(num_restarts)
    ]
    return min(results, key=lambda result: result.objective)


def _run(
    points: Points,
    num_clusters: int,
    seed: int,
    num_iterations: int,
    backend: str,
    tolerance: float,
) -> KMeansResult:
    centroids, objective, done = None, np.inf, 0
    while done < num_iterations:
        count = min(_ITERATIONS_A_LOOK, num_iterations - done)
        kmeans = faiss_backend.kmeans(
            points.shape[1],
            num_clusters,
            backend=backend,
            niter=count,
            seed=seed + done,
            min_points_per_centroid=1,
            max_points_per_centroid=_ANY_NUMBER_OF_POINTS,
        )
        kmeans.train(points, init_centroids=centroids)
        centroids, done = kmeans.centroids, done + count
        previous, objective = objective, float(kmeans.obj[-1])
        if previous - objective < tolerance * objective:
            break
    distances, assignment = kmeans.assign(points)
    return KMeansResult(assignment.astype(np.int32), centroids, float(distances.sum()))
