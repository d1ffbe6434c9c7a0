"""k-means over all points, with all restarts, until it converges."""

from __future__ import annotations

import dataclasses
import time
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from dce_tf.base.errors import first_line
from dce_tf.clustering import faiss_backend
from dce_tf.clustering.points import Points, Vectors


@dataclasses.dataclass(frozen=True, eq=False)
class KMeansResult:
    """The best of all restarts.

    Attributes:
        assignment: Cluster of each point, int32 `(num_points,)`.
        centroids: float32 `(num_clusters, dim)`.
        objective: Sum of the squared distances of the points to their centroids.
        seconds: How long it took.
    """

    assignment: npt.NDArray[np.int32]
    centroids: Vectors
    objective: float
    seconds: float = 0.0


def fit_kmeans(
    points: Points | Vectors,
    num_clusters: int,
    *,
    seed: int = 0,
    num_iterations: int = 100,
    num_restarts: int = 1,
    backend: str = "auto",
    initial_centroids: Vectors | None = None,
    tolerance: float = 1e-4,
    num_sampled: int = 0,
) -> KMeansResult:
    """Clusters points with FAISS.

    It starts from k-means++ (Arthur and Vassilvitskii, 2007). Where FAISS fails on a
    GPU, as for want of memory, it warns and goes on on the CPU.

    Args:
        points: float32 `(num_points, dim)`. Of a memory-mapped array (`numpy.memmap`)
            no more is in memory than a block and those the centroids are found on:
            see `num_sampled`.
        num_clusters: How many clusters.
        seed: Decides where it starts.
        num_iterations: Most iterations of each restart.
        num_restarts: Runs from different starts; the lowest objective wins.
        backend: `"auto"`, `"faiss"` or `"faiss-gpu"`.
        initial_centroids: Where the first run starts, float32 `(num_clusters, dim)`;
            further restarts start from k-means++.
        tolerance: Stop when an iteration lowers the objective by less than this share.
        num_sampled: On how many points, drawn at random, to find the centroids that
            all are then assigned to; 0 takes all.

    Returns:
        The clusters.

    Raises:
        ValueError: If a count is below 1, there are fewer points than clusters, a
            point is not finite, or the initial centroids have another shape.
    """
    _check_counts(
        num_clusters=num_clusters,
        num_iterations=num_iterations,
        num_restarts=num_restarts,
    )
    if not isinstance(points, Points):
        points = Points(points)
    _check_points(points, num_clusters)
    if initial_centroids is not None:
        initial_centroids = np.ascontiguousarray(initial_centroids, np.float32)
        _check_centroids(initial_centroids, (num_clusters, points.shape[1]))
    if num_clusters == 1:
        return _one_cluster(points)
    started = time.perf_counter()
    rng = np.random.default_rng(seed)
    # FAISS starts all of its own restarts (nredo) from the same k-means++ draw.
    seeds = rng.integers(2**31, size=num_restarts).tolist()
    if num_sampled:
        count = min(max(num_sampled, num_clusters), len(points))
        sample = points.take(np.sort(rng.choice(len(points), count, replace=False)))
    else:
        sample = points.all()
    results = []
    for run, start in enumerate(seeds):
        settings = {
            "niter": num_iterations,
            "seed": start,
            "early_stop_threshold": tolerance,
        }
        initial = None if run else initial_centroids
        results.append(
            _run_or_fall_back(points, sample, num_clusters, initial, backend, settings)
        )
    best = min(results, key=lambda result: result.objective)
    return dataclasses.replace(best, seconds=time.perf_counter() - started)


def _check_counts(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} must be 1 or more; received {count}.")


def _run_or_fall_back(
    points: Points,
    sample: Vectors,
    num_clusters: int,
    initial: Vectors | None,
    backend: str,
    settings: dict[str, Any],
) -> KMeansResult:
    try:
        return _run(points, sample, num_clusters, initial, backend, settings)
    except RuntimeError as error:
        if not faiss_backend.use_gpu(backend):
            raise
        warnings.warn(
            f"FAISS failed on the GPU ({first_line(error)}); it goes on on the CPU. A "
            "lower --faiss_memory_mb or --kmeans_points may help.",
            stacklevel=3,
        )
    return _run(points, sample, num_clusters, initial, "faiss", settings)


def _run(
    points: Points,
    sample: Vectors,
    num_clusters: int,
    initial_centroids: Vectors | None,
    backend: str,
    settings: dict[str, Any],
) -> KMeansResult:
    kmeans = faiss_backend.kmeans(
        points.shape[1], num_clusters, backend=backend, **settings
    )
    kmeans.train(sample, init_centroids=initial_centroids)
    assignment = np.empty(len(points), np.int32)
    distances = np.empty(len(points), np.float32)
    for rows, values in points.blocks():
        distances[rows], assignment[rows] = kmeans.assign(values)
    objective = float(distances.sum(dtype=np.float64))
    return KMeansResult(assignment, kmeans.centroids, objective)


def _check_points(points: Points, num_clusters: int) -> None:
    if len(points) < num_clusters:
        raise ValueError(
            f"{len(points)} images cannot be cut into {num_clusters} clusters. "
            "Use fewer clusters."
        )
    bad = sum(
        np.count_nonzero(~np.isfinite(values).all(axis=1))
        for _, values in points.blocks()
    )
    if bad:
        raise ValueError(
            f"The features of {bad} of {len(points)} images are not finite: the "
            "training has diverged. Lower the learning rates."
        )


def _check_centroids(centroids: Vectors, shape: tuple[int, int]) -> None:
    if centroids.shape != shape or not np.isfinite(centroids).all():
        raise ValueError(
            f"initial_centroids must be finite and of shape {shape}, one for each "
            f"cluster; received shape {centroids.shape}."
        )


def _one_cluster(points: Points) -> KMeansResult:
    """Returns the mean; ‖x − mean‖² = ‖x‖² − ‖mean‖², summed, needs no copy."""
    total, squares = np.zeros(points.shape[1]), 0.0
    for _, values in points.blocks():
        total += values.sum(axis=0, dtype=np.float64)
        squares += np.einsum("ij,ij->i", values, values).sum(dtype=np.float64)
    mean = total / len(points)
    objective = max(0.0, float(squares - len(points) * (mean @ mean)))
    centroids = mean[None].astype(np.float32)
    return KMeansResult(np.zeros(len(points), np.int32), centroids, objective)
