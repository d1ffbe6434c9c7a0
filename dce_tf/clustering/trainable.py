"""Clusters that can be trained on: enough classes, and no lone image."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from dce_tf.clustering.balance import balance_clusters
from dce_tf.clustering.kmeans import KMeansResult, fit_kmeans
from dce_tf.clustering.points import Points

Assignment = npt.NDArray[np.int32]
Features = npt.NDArray[np.float32]


def trainable_clusters(
    points: Points,
    point_of: npt.NDArray[np.int64],
    labels: npt.NDArray[np.int32],
    num_clusters: int,
    *,
    seed: int = 0,
    min_classes: int = 2,
    tries: int = 1,
    balance: float | None = None,
    initial_centroids: Features | None = None,
    **kmeans: Any,
) -> KMeansResult:
    """Clusters points so that each cluster can be trained on.

    Args:
        points: Of unit length, images or classes.
        point_of: Which point stands for each image, int64 `(num_images,)`.
        labels: Class of each image, int32 `(num_images,)`.
        num_clusters: How many clusters.
        seed: Decides where k-means starts.
        min_classes: Classes of two images that a cluster must have.
        tries: How many starts to try before clusters that lack them are merged away.
        balance: Make the sizes differ from their mean by at most this factor; None
            leaves them as they are.
        initial_centroids: Where the first try starts.
        **kmeans: Passed on to `fit_kmeans`.

    Returns:
        Its assignment is that of images.

    Raises:
        ValueError: As `fit_kmeans`.
    """
    seeds = [
        seed,
        *np.random.default_rng(seed).integers(2**31, size=tries - 1).tolist(),
    ]
    seconds = 0.0
    for start in seeds:
        result = fit_kmeans(
            points,
            num_clusters,
            seed=start,
            initial_centroids=initial_centroids,
            **kmeans,
        )
        initial_centroids = None
        seconds += result.seconds
        if balance is not None:
            result = balance_clusters(points, result, balance)
        result = dataclasses.replace(
            result, assignment=result.assignment[point_of], seconds=seconds
        )
        if not len(_untrainable(result.assignment, labels, num_clusters, min_classes)):
            return result
    merged = merge_untrainable(result.assignment, labels, result.centroids, min_classes)
    return dataclasses.replace(result, assignment=merged)


def merge_untrainable(
    membership: Assignment,
    labels: npt.NDArray[np.int32],
    centroids: Features,
    min_classes: int = 2,
) -> Assignment:
    """Moves clusters with too few classes of two images to their nearest neighbours.

    Args:
        membership: Cluster of each image, int32 `(num_images,)`, none below 0.
        labels: Class of each image, int32 `(num_images,)`.
        centroids: float32 `(num_clusters, feature_dim)`.
        min_classes: How many such classes a cluster needs.

    Returns:
        Cluster of each image, one at a time merged until all can be trained on or one
        is left.
    """
    membership = membership.copy()
    num_clusters = len(centroids)
    while True:
        there = np.bincount(membership, minlength=num_clusters) > 0
        failing = _untrainable(membership, labels, num_clusters, min_classes)
        failing = failing[there[failing]]
        if not len(failing) or np.count_nonzero(there) == 1:
            return membership
        gap = np.linalg.norm(centroids - centroids[failing[0]], axis=1)
        gap[~there] = np.inf
        gap[failing[0]] = np.inf
        membership[membership == failing[0]] = np.argmin(gap)


def without_lone(membership: Assignment, labels: npt.NDArray[np.int32]) -> Assignment:
    """Returns −1 for every image that is the only one of its class in its cluster.

    Args:
        membership: Cluster of each image, int32 `(num_images,)`; −1 stays −1.
        labels: Class of each image, int32 `(num_images,)`.
    """
    _, inverse, counts = _class_counts(membership, labels)
    return np.where(counts[inverse] > 1, membership, -1).astype(np.int32)


def _class_counts(
    membership: Assignment, labels: npt.NDArray[np.int32]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Counts the images of each class in each cluster: pairs, inverse, counts."""
    num_classes = int(labels.max()) + 1
    keys = membership.astype(np.int64) * num_classes + labels
    pairs, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    return pairs // num_classes, inverse, counts


def _untrainable(
    membership: Assignment,
    labels: npt.NDArray[np.int32],
    num_clusters: int,
    min_classes: int,
) -> npt.NDArray[np.int64]:
    """Returns the clusters, empty ones too, with fewer classes of two images."""
    cluster, _, counts = _class_counts(membership, labels)
    classes = np.bincount(cluster[counts > 1], minlength=num_clusters)
    return np.flatnonzero(classes < min_classes)
