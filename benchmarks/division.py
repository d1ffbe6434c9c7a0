"""An SOP-sized division: everything between the features and the first batch.

    python -m benchmarks.division [--images 59551] [--repeats 5]

Features are drawn around class centres. k-means is listed apart from the rest.
"""

from __future__ import annotations

import argparse
import functools
import statistics

import numpy as np

from benchmarks.timing import alternate, print_table
from dce_tf.clustering import (
    fit_kmeans,
    match_clusters,
    normalized_mutual_information,
)
from dce_tf.clustering.division import merge_untrainable, unit_length, without_lone
from dce_tf.sampling import plan_epoch


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


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=59_551)
    parser.add_argument("--classes", type=int, default=11_318)
    parser.add_argument("--dim", type=int, default=2048)
    parser.add_argument("--clusters", type=int, default=8)
    parser.add_argument("--kmeans_iterations", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()

    features, labels = draw_features(args.images, args.classes, args.dim)
    points = unit_length(features)
    kmeans = functools.partial(
        fit_kmeans, points, args.clusters, num_iterations=args.kmeans_iterations
    )
    result, before = kmeans(seed=0), kmeans(seed=1).assignment
    membership = merge_untrainable(result.assignment, labels, result.centroids)
    parts = {
        "L2-normalise": lambda: unit_length(features),
        "merge": lambda: merge_untrainable(result.assignment, labels, result.centroids),
        "match": lambda: match_clusters(before, membership, args.clusters),
        "NMI": lambda: normalized_mutual_information(before, membership),
        "lone images": lambda: without_lone(membership, labels),
        "rows of an epoch": lambda: plan_epoch(
            labels,
            without_lone(membership, labels),
            args.clusters,
            batch_size=80,
            samples_per_class=4,
            seed=0,
            epoch=0,
        ),
    }
    seconds = alternate(parts, args.repeats)
    seconds["sum, besides k-means"] = [
        sum(runs) for runs in zip(*seconds.values(), strict=True)
    ]
    seconds["k-means"] = alternate({"k-means": kmeans}, min(2, args.repeats))["k-means"]
    shape = (
        f"{args.images:,} × {args.dim}, {args.classes:,} classes, K = {args.clusters}"
    )
    print_table(f"Division of {shape}", seconds)
    total = statistics.median(seconds["sum, besides k-means"])
    print(f"Besides k-means: {total:.3f} s; asked for: under 1 s.")


if __name__ == "__main__":
    main()
