"""One division of the training images among the learners."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from dce_tf.clustering.kmeans import fit_kmeans
from dce_tf.clustering.matching import match_clusters
from dce_tf.clustering.nmi import normalized_mutual_information

Assignment = npt.NDArray[np.int32]
Features = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, eq=False)
class Division:
    """A clustering, ready to train on.

    Attributes:
        assignment: Cluster of each image, int32 `(num_images,)`; −1 for an image that
            is the only one of its class in its cluster, and so without a positive.
        membership: Cluster of each image before those were left out: what the next
            division is matched with.
        num_clusters: How many clusters were asked for. One that had to be merged away
            is empty.
        objective: Sum of the squared distances to the centroids, of unit vectors.
        matching_cost: Images that changed cluster since the last division, counted in
            both; None for the first.
        kept: Share of the images that kept their cluster; None for the first.
        nmi: Normalised mutual information with the last division; None for the first.
    """

    assignment: Assignment
    membership: Assignment
    num_clusters: int
    objective: float = 0.0
    matching_cost: int | None = None
    kept: float | None = None
    nmi: float | None = None

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """Images that each cluster trains on, `(num_clusters,)`."""
        assigned = self.assignment[self.assignment >= 0]
        return np.bincount(assigned, minlength=self.num_clusters)

    @property
    def num_lone(self) -> int:
        """Images left out until the next division."""
        return int(np.count_nonzero(self.assignment < 0))


def whole_division(labels: npt.NDArray[np.int32]) -> Division:
    """Returns the division into one cluster, of all images with a positive.

    Args:
        labels: Class of each image, int32 `(num_images,)`.
    """
    everything = np.zeros(len(labels), np.int32)
    return Division(without_lone(everything, labels), everything, 1)


def divide(
    features: Features,
    labels: npt.NDArray[np.int32],
    num_clusters: int,
    *,
    seed: int = 0,
    previous: Division | None = None,
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
        **kmeans: Passed on to `fit_kmeans`.

    Raises:
        ValueError: As `fit_kmeans`.
    """
    result = fit_kmeans(unit_length(features), num_clusters, seed=seed, **kmeans)
    membership = merge_untrainable(result.assignment, labels, result.centroids)
    cost, kept, nmi = None, None, None
    if previous is not None:
        matching = match_clusters(previous.membership, membership, num_clusters)
        membership = matching.new_ids[membership].astype(np.int32)
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
    )


def unit_length(features: Features) -> Features:
    """Returns each row divided by its L2 norm; zero rows stay zero."""
    norms = np.sqrt(np.einsum("ij,ij->i", features, features))
    return features / np.maximum(norms, 1e-12)[:, None]


def _class_counts(
    membership: Assignment, labels: npt.NDArray[np.int32]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Counts the images of each class in each cluster: pairs, inverse, counts."""
    num_classes = int(labels.max()) + 1
    keys = membership.astype(np.int64) * num_classes + labels
    pairs, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    return pairs // num_classes, inverse, counts


def without_lone(membership: Assignment, labels: npt.NDArray[np.int32]) -> Assignment:
    """Returns −1 for every image that is the only one of its class in its cluster."""
    _, inverse, counts = _class_counts(membership, labels)
    return np.where(counts[inverse] > 1, membership, -1).astype(np.int32)


def merge_untrainable(
    membership: Assignment, labels: npt.NDArray[np.int32], centroids: Features
) -> Assignment:
    """Moves clusters without two classes of two images to the nearest that has them."""
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
