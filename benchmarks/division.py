"""An SOP-sized division: everything between the features and the first batch.

    python -m benchmarks.division [--images 59551] [--repeats 5]

Features are drawn around class centres and are of unit length, as a pass returns them.
Beside ours stands what the 2019 program does in Python (`benchmarks/reference`), and
beside k-means bare FAISS and scikit-learn, with the objective that each reaches.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import statistics
import time
from collections.abc import Callable
from typing import Any

import faiss
import numpy as np
from rich.table import Table

from benchmarks.reference import bookkeeping
from benchmarks.reference.sampler import ClassBalancedBatches
from benchmarks.timing import alternate, look, print_machine, print_table
from dce_tf.clustering import (
    Division,
    fit_kmeans,
    match_clusters,
    normalized_mutual_information,
)
from dce_tf.clustering.points import unit_length
from dce_tf.clustering.trainable import merge_untrainable, without_lone
from dce_tf.datasets import Images
from dce_tf.sampling import plan_epoch

BATCH_SIZE, SAMPLES_PER_CLASS = 80, 4
ASKED_SECONDS = 0.3  # For the sum, besides k-means.
THEIRS = "2019's"

Parts = dict[str, Callable[[], Any]]


def draw_features(
    num_images: int, num_classes: int, dim: int, spread: float = 0.7
) -> tuple[np.ndarray, np.ndarray]:
    """Draws features around a centre a class, with as many images each, or one more.

    Args:
        num_images: How many.
        num_classes: Of how many classes.
        dim: Numbers in a feature.
        spread: Standard deviation within a class; that of the centres is 1.
    """
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.arange(num_images) % num_classes).astype(np.int32)
    centres = rng.normal(size=(num_classes, dim)).astype(np.float32)
    features = centres[labels]
    features += rng.normal(size=features.shape, scale=spread).astype(np.float32)
    return features, labels


def our_parts(
    points: np.ndarray, labels: np.ndarray, before: np.ndarray, result: Any
) -> Parts:
    """Returns what a division does besides k-means.

    Args:
        points: float32 `(num_images, dim)`, of unit length, as the pass returns them.
        labels: int32 `(num_images,)`.
        before: Clusters of the division before, int32 `(num_images,)`.
        result: Of `fit_kmeans`.
    """
    clusters = len(result.centroids)
    membership = merge_untrainable(result.assignment, labels, result.centroids)
    return {
        "lengths": lambda: unit_length(points),
        "merge": lambda: merge_untrainable(result.assignment, labels, result.centroids),
        "match": lambda: match_clusters(before, membership, clusters),
        "NMI": lambda: normalized_mutual_information(before, membership),
        "lone images": lambda: without_lone(membership, labels),
        "rows of an epoch": lambda: plan_epoch(
            labels,
            without_lone(membership, labels),
            clusters,
            batch_size=BATCH_SIZE,
            samples_per_class=SAMPLES_PER_CLASS,
            seed=0,
            epoch=0,
        ),
    }


def rebuild(labels: np.ndarray, membership: np.ndarray, clusters: int) -> Any:
    """Returns what builds the pipeline of an epoch again, of files that are not there.

    Args:
        labels: int32 `(num_images,)`.
        membership: Cluster of each image.
        clusters: How many.
    """
    from dce_tf.training.pipelines import ClusterPipelines, EpochPlanner

    paths = tuple(f"images/{row:06d}.jpg" for row in range(len(labels)))
    names = tuple(str(label) for label in range(labels.max() + 1))
    planner = EpochPlanner(
        Images(paths, labels, names),
        batch_size=BATCH_SIZE,
        samples_per_class=SAMPLES_PER_CLASS,
    )
    pipelines = ClusterPipelines(planner, image_size=224)
    division = Division(without_lone(membership, labels), membership, clusters)
    # Its iterator too: it is made, and the old one dropped, at each rebuilding.
    return lambda: iter(pipelines.build(division, 0).dataset)


def print_growth(build: Callable[[], Any], count: int) -> None:
    """Prints what many rebuildings leave behind in this process."""
    before = look()
    started = time.perf_counter()
    for _ in range(count):
        build()
    seconds = (time.perf_counter() - started) / count
    memory, handles, threads = (b - a for a, b in zip(before, look(), strict=True))
    print(
        f"{count} more rebuildings took {seconds:.3f} s each and left "
        f"{memory:+.0f} MB, {handles:+} handles, {threads:+} threads."
    )


def their_parts(
    labels: np.ndarray, before: np.ndarray, membership: np.ndarray, clusters: int
) -> Parts:
    """Returns the same in Python, as the 2019 program does it."""
    classes = labels.tolist()
    kept = bookkeeping.without_lone(membership, classes)

    def draw() -> list[list[list[int]]]:
        rows = bookkeeping.members(kept, clusters)
        return [
            list(ClassBalancedBatches(own, classes, BATCH_SIZE, SAMPLES_PER_CLASS))
            for own in rows
            if own
        ]

    return {
        f"{THEIRS} match": lambda: bookkeeping.match(before, membership, clusters),
        f"{THEIRS} lone images": lambda: bookkeeping.without_lone(membership, classes),
        f"{THEIRS} rows of an epoch": draw,
    }


def kmeans_ways(points: np.ndarray, clusters: int, iterations: int) -> Parts:
    """Returns ways to cluster; each returns the objective it reached."""

    def ours(**settings: Any) -> float:
        settings = {"num_iterations": iterations, **settings}
        return fit_kmeans(points, clusters, **settings).objective

    def bare() -> float:
        kmeans = faiss.Kmeans(
            points.shape[1],
            clusters,
            niter=iterations,
            min_points_per_centroid=1,
            max_points_per_centroid=10**9,
        )
        kmeans.train(points)
        return float(kmeans.assign(points)[0].sum(dtype=np.float64))

    ways: Parts = {
        "ours, until it converges": ours,
        f"ours, {iterations} iterations": functools.partial(ours, tolerance=0.0),
        f"bare FAISS, {iterations} iterations": bare,
    }
    if importlib.util.find_spec("sklearn"):
        from sklearn.cluster import KMeans

        ways["scikit-learn, until it converges"] = lambda: (
            KMeans(clusters, n_init=1, max_iter=iterations, random_state=0)
            .fit(points)
            .inertia_
        )
    return ways


def print_kmeans(title: str, ways: Parts, repeats: int) -> None:
    """Prints the median seconds of each way, and the objective it reached."""
    reached: dict[str, float] = {}

    def noted(name: str) -> None:
        reached[name] = ways[name]()

    parts = {name: functools.partial(noted, name) for name in ways}
    seconds = alternate(parts, repeats)
    table = Table(title=title)
    table.add_column("k-means")
    for column in ("median s", "least", "most", "objective"):
        table.add_column(column, justify="right")
    for name, runs in seconds.items():
        figures = (statistics.median(runs), min(runs), max(runs))
        cells = [f"{figure:.3f}" for figure in figures]
        table.add_row(name, *cells, f"{reached[name]:.1f}")
    print_machine(table)


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=59_551)
    parser.add_argument("--classes", type=int, default=11_318)
    parser.add_argument("--dim", type=int, default=2048)
    parser.add_argument("--clusters", type=int, default=8)
    parser.add_argument("--kmeans_iterations", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--rebuildings", type=int, default=100)
    args = parser.parse_args()

    features, labels = draw_features(args.images, args.classes, args.dim)
    points = unit_length(features)
    kmeans = functools.partial(
        fit_kmeans, points, args.clusters, num_iterations=args.kmeans_iterations
    )
    result, before = kmeans(seed=0), kmeans(seed=1).assignment
    membership = merge_untrainable(result.assignment, labels, result.centroids)
    parts = our_parts(points, labels, before, result)
    theirs = their_parts(labels, before, membership, args.clusters)
    build = rebuild(labels, membership, args.clusters)
    seconds = alternate({**parts, "pipeline": build, **theirs}, args.repeats)
    for name, own in (("sum", [*parts, "pipeline"]), (f"{THEIRS} sum", theirs)):
        runs = zip(*(seconds[part] for part in own), strict=True)
        seconds[name] = [sum(times) for times in runs]
    shape = (
        f"{args.images:,} × {args.dim}, {args.classes:,} classes, K = {args.clusters}"
    )
    print_table(f"Division of {shape}, besides k-means", seconds)
    total = statistics.median(seconds["sum"])
    print(f"In all {total:.3f} s; asked for: under {ASKED_SECONDS} s.")
    print_growth(build, args.rebuildings)
    ways = kmeans_ways(points, args.clusters, args.kmeans_iterations)
    print_kmeans(f"k-means of {shape}", ways, min(3, args.repeats))


if __name__ == "__main__":
    main()
