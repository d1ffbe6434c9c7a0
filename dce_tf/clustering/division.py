"""One division of the training images among the learners."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from dce_tf.clustering.agreement import normalized_mutual_information
from dce_tf.clustering.kmeans import fit_kmeans
from dce_tf.clustering.matching import match_clusters

Assignment = npt.NDArray[np.int32]
Features = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, eq=False)
class Division:
    """A clustering, ready to train on.

    Attributes:
        assignment: Cluster of each image, int32 `(num_images,)`; −1 for an image that
            is the only one of its class in its cluster, and so without a positive, and
            for one that cannot be used.
        membership: Cluster of each image before lone ones were left out: what the next
            division is matched with. −1 for one that cannot be used.
        num_clusters: How many clusters were asked for. One that had to be merged away
            is empty.
        objective: Sum of the squared distances to the centroids, of unit vectors.
        matching_cost: Images that changed cluster since the last division, counted in
            both; None for the first.
        kept: Share of the images that kept their cluster; None for the first.
        nmi: Normalised mutual information with the last division; None for the first.
        centroids: Of unit vectors, float32 `(num_clusters, feature_dim)`, those merged
            away too; None where nothing was clustered.
    """

    assignment: Assignment
    membership: Assignment
    num_clusters: int
    objective: float = 0.0
    matching_cost: int | None = None
    kept: float | None = None
    nmi: float | None = None
    centroids: Features | None = None

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """Images that each cluster trains on, `(num_clusters,)`."""
        assigned = self.assignment[self.assignment >= 0]
        return np.bincount(assigned, minlength=self.num_clusters)

    @property
    def num_lone(self) -> int:
        """Images that could be used and are left out until the next division."""
        return int(np.count_nonzero((self.assignment < 0) & (self.membership >= 0)))


def whole_division(
    labels: npt.NDArray[np.int32], usable: npt.NDArray[np.bool_] | None = None
) -> Division:
    """Returns the division into one cluster, of all images with a positive.

    Args:
        labels: Class of each image, int32 `(num_images,)`.
        usable: False for images that cannot be used, bool `(num_images,)`.

    Raises:
        ValueError: If there are no two classes of two images.
    """
    rows = _usable_rows(labels, usable)
    membership = np.full(len(labels), -1, np.int32)
    membership[rows] = 0
    return Division(without_lone(membership, labels), membership, 1)


def divide(
    features: Features,
    labels: npt.NDArray[np.int32],
    num_clusters: int,
    *,
    seed: int = 0,
    previous: Division | None = None,
    usable: npt.NDArray[np.bool_] | None = None,
    **kmeans: Any,
) -> Division:
    """Clusters images by their features and carries the ids of the last division on.

    A cluster without two classes of two images cannot be trained on: its images join
    the cluster with the nearest centroid, and its id stays empty.

    Args:
        features: float32 `(num_images, feature_dim)`; compared at unit length.
        labels: Class of each image, int32 `(num_images,)`.
        num_clusters: How many clusters.
        seed: Decides where k-means starts.
        previous: The last division, to match with.
        usable: False for images that cannot be used, bool `(num_images,)`; their
            features do not count.
        **kmeans: Passed on to `fit_kmeans`.

    Raises:
        ValueError: If there are no two classes of two images, the last division is of
            other images or has more clusters, or as `fit_kmeans`.
    """
    if len(features) != len(labels):
        raise ValueError(f"{len(features)} features, but {len(labels)} labels.")
    rows = _usable_rows(labels, usable)
    points = unit_length(features if usable is None else features[rows])
    result = fit_kmeans(points, num_clusters, seed=seed, **kmeans)
    membership = np.full(len(labels), -1, np.int32)
    membership[rows] = merge_untrainable(
        result.assignment, labels[rows], result.centroids
    )
    centroids, cost, kept, nmi = result.centroids, None, None, None
    if previous is not None:
        matching = match_clusters(previous.membership, membership, num_clusters)
        membership[rows] = matching.new_ids[membership[rows]]
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
    )


def unit_length(features: Features) -> Features:
    """Returns each row divided by its L2 norm; zero rows stay zero."""
    norms: Features = np.sqrt(np.einsum("ij,ij->i", features, features))
    # k-means refuses what is not finite, and says how much of it there is.
    with np.errstate(invalid="ignore", over="ignore"):
        return np.divide(features, np.maximum(norms, 1e-12)[:, None], dtype=np.float32)


def _usable_rows(
    labels: npt.NDArray[np.int32], usable: npt.NDArray[np.bool_] | None
) -> npt.NDArray[np.int64]:
    if usable is not None and len(usable) != len(labels):
        raise ValueError(f"usable has {len(usable)} entries for {len(labels)} images.")
    rows = np.arange(len(labels)) if usable is None else np.flatnonzero(usable)
    trainable = np.count_nonzero(np.bincount(labels[rows], minlength=1) > 1)
    if trainable < 2:
        raise ValueError(
            f"Only {trainable} of the classes of {len(rows)} usable images have two "
            "or more: training needs two such classes, for positive and negative "
            "pairs. Give more images."
        )
    return rows


def _class_counts(
    membership: Assignment, labels: npt.NDArray[np.int32]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Counts the images of each class in each cluster: pairs, inverse, counts."""
    num_classes = int(labels.max()) + 1
    keys = membership.astype(np.int64) * num_classes + labels
    pairs, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    return pairs // num_classes, inverse, counts


def without_lone(membership: Assignment, labels: npt.NDArray[np.int32]) -> Assignment:
    """Returns −1 for every image that is the only one of its class in its cluster.

    Args:
        membership: Cluster of each image, int32 `(num_images,)`; −1 stays −1.
        labels: Class of each image, int32 `(num_images,)`.
    """
    _, inverse, counts = _class_counts(membership, labels)
    return np.where(counts[inverse] > 1, membership, -1).astype(np.int32)


def merge_untrainable(
    membership: Assignment, labels: npt.NDArray[np.int32], centroids: Features
) -> Assignment:
    """Moves clusters without two classes of two images to their nearest neighbours.

    Args:
        membership: Cluster of each image, int32 `(num_images,)`, none below 0.
        labels: Class of each image, int32 `(num_images,)`.
        centroids: float32 `(num_clusters, feature_dim)`.

    Returns:
        Cluster of each image, one at a time merged until all can be trained on or one
        is left.
    """
    membership = membership.copy()
    num_clusters = len(centroids)
    while True:
        cluster, _, counts = _class_counts(membership, labels)
        usable = np.bincount(cluster[counts > 1], minlength=num_clusters)
        there = np.bincount(membership, minlength=num_clusters) > 0
        failing = np.flatnonzero(there & (usable < 2))
        if not len(failing) or np.count_nonzero(there) == 1:
            return membership
        gap = np.linalg.norm(centroids - centroids[failing[0]], axis=1)
        gap[~there] = np.inf
        gap[failing[0]] = np.inf
        membership[membership == failing[0]] = np.argmin(gap)
