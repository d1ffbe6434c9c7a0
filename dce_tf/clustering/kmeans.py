"""k-means over all points, with all restarts, until it stands still."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from dce_tf import faiss_backend

Points = npt.NDArray[np.float32]


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

    It starts from k-means++ (Arthur and Vassilvitskii, 2007).

    Args:
        points: float32 `(num_points, dim)`.
        num_clusters: How many clusters.
        seed: Decides where it starts.
        num_iterations: Most iterations of each restart.
        num_restarts: Runs from different starts; the lowest objective wins.
        backend: `"auto"`, `"faiss"` or `"faiss-gpu"`.
        tolerance: Stop when an iteration lowers the objective by less than this share.

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
            f"The features of {bad} of {len(points)} images are not finite: the "
            "training has diverged. Lower the learning rates."
        )
    # FAISS starts all of its own restarts (nredo) from the same k-means++ draw.
    seeds = np.random.default_rng(seed).integers(2**31, size=num_restarts)
    results = [
        _run(points, num_clusters, int(start), num_iterations, backend, tolerance)
        for start in seeds
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
    kmeans = faiss_backend.kmeans(
        points.shape[1],
        num_clusters,
        backend=backend,
        niter=num_iterations,
        seed=seed,
        early_stop_threshold=tolerance,
    )
    kmeans.train(points)
    distances, assignment = kmeans.assign(points)
    return KMeansResult(
        assignment.astype(np.int32), kmeans.centroids, float(distances.sum())
    )
