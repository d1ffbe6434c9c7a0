"""One division of the training images among the learners."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from dce_tf.clustering.agreement import normalized_mutual_information
from dce_tf.clustering.classes import points_to_cluster
from dce_tf.clustering.matching import match_clusters
from dce_tf.clustering.points import Points, cluster_means
from dce_tf.clustering.trainable import (
    Assignment,
    Features,
    trainable_clusters,
    without_lone,
)


@dataclasses.dataclass(frozen=True, eq=False)
class Division:
    """A clustering, ready to train on.

    Attributes:
        assignment: Cluster of each image, int32 `(num_images,)`; −1 for an image that
            is the only one of its class in its cluster, and so without a positive.
        membership: Cluster of each image before lone ones were left out: what the next
            division is matched with.
        num_clusters: How many clusters were asked for. One that had to be merged away
            is empty.
        objective: Sum of the squared distances to the centroids, of unit vectors.
        matching_cost: Images that changed cluster since the last division, counted in
            both; None where no ids were matched: for the first, where clusters were cut
            in two, and where k-means failed.
        kept: Share of the images that kept their cluster; None in the same cases.
        nmi: Normalised mutual information with the last division; None for the first,
            and where k-means failed.
        centroids: Of unit vectors, float32 `(num_clusters, feature_dim)`, those merged
            away too; None where nothing was clustered.
        groups: Cluster of each image in the last real clustering, int32
            `(num_images,)`, where this division is of one cluster: for samplers that
            look for alike images. None where `membership` says it.
        kmeans_seconds: How long k-means took.
        class_means: Mean of the images of each class, of unit length, float32
            `(num_classes, feature_dim)`, for samplers that look for alike classes; None
            unless asked for.
    """

    assignment: Assignment
    membership: Assignment
    num_clusters: int
    objective: float = 0.0
    matching_cost: int | None = None
    kept: float | None = None
    nmi: float | None = None
    centroids: Features | None = None
    groups: Assignment | None = None
    kmeans_seconds: float = 0.0
    class_means: Features | None = None

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """Images that each cluster trains on, `(num_clusters,)`."""
        assigned = self.assignment[self.assignment >= 0]
        return np.bincount(assigned, minlength=self.num_clusters)

    @property
    def num_lone(self) -> int:
        """Images that are left out until the next division."""
        return int(np.count_nonzero(self.assignment < 0))

    def of_rows(
        self, rows: npt.NDArray[np.int64], labels: npt.NDArray[np.int32]
    ) -> Division:
        """Returns the division of some of its images, rows renumbered.

        Args:
            rows: Which images.
            labels: Their classes, int32 `(num_rows,)`.
        """
        membership = self.membership[rows]
        return dataclasses.replace(
            self,
            assignment=without_lone(membership, labels),
            membership=membership,
            groups=None if self.groups is None else self.groups[rows],
        )


def whole_division(
    labels: npt.NDArray[np.int32], last: Division | None = None
) -> Division:
    """Returns the division into one cluster, of all images with a positive.

    Args:
        labels: Class of each image, int32 `(num_images,)`.
        last: The division before, kept as `groups`.

    Raises:
        ValueError: If there are no two classes of two images.
    """
    _check_trainable(labels)
    membership = np.zeros(len(labels), np.int32)
    groups = last.membership if last is not None else None
    return Division(without_lone(membership, labels), membership, 1, groups=groups)


def divide(
    features: Features,
    labels: npt.NDArray[np.int32],
    num_clusters: int,
    *,
    seed: int = 0,
    previous: Division | None = None,
    adapt_centroids: bool = False,
    by: str = "images",
    **options: Any,
) -> Division:
    """Clusters images or classes by features; carries on the ids of the last division.

    A cluster without enough classes of two images cannot be trained on: its images join
    the cluster with the nearest centroid, and its id stays empty.

    Args:
        features: float32 `(num_images, feature_dim)`; compared at unit length. May be
            memory-mapped: see `fit_kmeans`.
        labels: Class of each image, int32 `(num_images,)`.
        num_clusters: How many clusters.
        seed: Decides where k-means starts.
        previous: The last division, to match with.
        adapt_centroids: Start k-means from the means of the previous clusters in these
            features (Sanakoyeu et al., TPAMI 2021).
        by: `"images"`, or `"classes"`: k-means sees the mean of each class, and all
            images of a class are in one cluster, so that none is lone and no positive
            pair is lost. `"random"` deals the classes out once, whatever the
            features: what dividing gives without clusters.
        **options: Of `trainable_clusters`: min_classes, tries, balance, and those of
            `fit_kmeans`.

    Raises:
        ValueError: If there are no two classes of two images, the last division is of
            other images or has more clusters, or as `fit_kmeans`.
    """
    _check_trainable(labels)
    if by == "random":
        return _dealt_out(labels, num_clusters, seed, previous)
    if len(features) != len(labels):
        raise ValueError(f"{len(features)} features, but {len(labels)} labels.")
    points = Points(features, unit_length=True)
    initial = None
    if adapt_centroids and previous is not None:
        initial = _means(points, previous.membership, num_clusters)
    units = points_to_cluster(points, labels, by)
    result = trainable_clusters(
        *units,
        labels,
        num_clusters,
        seed=seed,
        initial_centroids=initial,
        **options,
    )
    membership = result.assignment
    centroids, cost, kept, nmi = result.centroids, None, None, None
    if previous is not None:
        matching = match_clusters(previous.membership, membership, num_clusters)
        membership = matching.new_ids[membership].astype(np.int32)
        centroids = centroids[np.argsort(matching.new_ids)]
        cost, kept = matching.cost, matching.kept
        nmi = normalized_mutual_information(previous.membership, membership)
    return Division(
        assignment=without_lone(membership, labels),
        membership=membership,
        num_clusters=num_clusters,
        objective=result.objective,
        matching_cost=cost,
        kept=kept,
        nmi=nmi,
        centroids=centroids,
        kmeans_seconds=result.seconds,
    )


def split(
    features: Features,
    labels: npt.NDArray[np.int32],
    parent: Division,
    *,
    seed: int = 0,
    by: str = "images",
    **options: Any,
) -> Division:
    """Cuts every cluster in two: cluster c becomes 2c and 2c + 1.

    A half that cannot be trained on joins the nearest other one.

    Args:
        features: float32 `(num_images, feature_dim)`; compared at unit length.
        labels: Class of each image, int32 `(num_images,)`.
        parent: The division to cut.
        seed: Decides where each 2-means starts.
        by: `"images"` or `"classes"`, as of `divide`.
        **options: As of `divide`.

    Raises:
        ValueError: As `divide`.
    """
    num_clusters = 2 * parent.num_clusters
    membership = np.full(len(labels), -1, np.int32)
    centroids = np.full((num_clusters, features.shape[1]), np.inf, np.float32)
    objective = seconds = 0.0
    for cluster in range(parent.num_clusters):
        rows = np.flatnonzero(parent.membership == cluster)
        if len(rows) < 2:
            membership[rows] = 2 * cluster
            continue
        points = Points(features, rows, unit_length=True)
        half = trainable_clusters(
            *points_to_cluster(points, labels[rows], by),
            labels[rows],
            2,
            seed=seed + cluster,
            **options,
        )
        membership[rows] = 2 * cluster + half.assignment
        centroids[2 * cluster : 2 * cluster + 2] = half.centroids
        objective += half.objective
        seconds += half.seconds
    return Division(
        assignment=without_lone(membership, labels),
        membership=membership,
        num_clusters=num_clusters,
        objective=objective,
        nmi=normalized_mutual_information(parent.membership, membership),
        centroids=np.nan_to_num(centroids, posinf=0),
        kmeans_seconds=seconds,
    )


def _dealt_out(
    labels: npt.NDArray[np.int32],
    num_clusters: int,
    seed: int,
    previous: Division | None,
) -> Division:
    """Returns classes dealt out evenly, those of the last division if there is one."""
    if previous is not None:
        return dataclasses.replace(previous, kept=1.0, matching_cost=0, nmi=1.0)
    classes = int(labels.max()) + 1
    cluster_of = np.random.default_rng(seed).permutation(classes) % num_clusters
    membership = cluster_of[labels].astype(np.int32)
    return Division(without_lone(membership, labels), membership, num_clusters)


def _means(
    points: Points, membership: Assignment, num_clusters: int
) -> Features | None:
    """Returns the mean of each cluster; None if one is empty or there are more."""
    sizes = np.bincount(membership, minlength=num_clusters)
    if len(sizes) > num_clusters or not sizes.all():
        return None
    return cluster_means(points, membership, num_clusters)


def _check_trainable(labels: npt.NDArray[np.int32]) -> None:
    trainable = np.count_nonzero(np.bincount(labels, minlength=1) > 1)
    if trainable < 2:
        raise ValueError(
            f"Only {trainable} of the classes of {len(labels)} images have two or "
            "more: training needs two such classes, for positive and negative pairs. "
            "Give more images."
        )
