"""Whose turn it is: the batches of an epoch, cluster by cluster."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from dce_tf.sampling import SAMPLERS
from dce_tf.sampling.request import BatchRequest, Rows, Sampler


@dataclasses.dataclass(frozen=True, eq=False)
class EpochPlan:
    """The batches of an epoch, in order.

    Attributes:
        rows: int64 `(num_steps, batch_size)`.
        learner: Whose batch each is, int32 `(num_steps,)`.
    """

    rows: Rows
    learner: npt.NDArray[np.int32]


def plan_epoch(
    labels: npt.NDArray[np.int32],
    assignment: npt.NDArray[np.int32],
    num_clusters: int,
    *,
    batch_size: int,
    samples_per_class: int,
    seed: int,
    epoch: int,
    cluster_batches: str = "share",
    sampler: Sampler | None = None,
    groups: npt.NDArray[np.int32] | None = None,
    super_classes: npt.NDArray[np.int32] | None = None,
    class_means: npt.NDArray[np.float32] | None = None,
    num_steps: int | None = None,
) -> EpochPlan:
    """Draws an epoch in which the clusters take turns, one batch each.

    Every cluster with images gets the same number of batches, at least one. For
    `"share"` there are as many in all as all images fill, those that are not drawn too,
    so that an epoch has the same steps with any number of clusters. For `"max"` and
    `"min"` every cluster gets as many as the largest or the smallest fills.

    Args:
        labels: Class of each image, int32 `(num_images,)`.
        assignment: Cluster of each image, int32 `(num_images,)`; −1 is not drawn.
        num_clusters: How many clusters; empty ones take no turn.
        batch_size: Images per batch, over all replicas.
        samples_per_class: Images of one class in a batch, side by side.
        seed: With epoch and cluster, decides the rows.
        epoch: Number of the epoch.
        cluster_batches: `"share"`, `"max"` or `"min"`.
        sampler: Draws the batches of a cluster; by default `ClassBalanced`.
        groups: Cluster of each image in the last clustering, for samplers that look
            for alike images; int32 `(num_images,)`.
        super_classes: Super-class of each image, in the same way.
        class_means: See `BatchRequest`.
        num_steps: How many batches in all, whatever `cluster_batches` says; the last
            round of turns may be cut short.

    Raises:
        ValueError: If `cluster_batches` is unknown, no image is in a cluster, or as
            the sampler.
    """
    sampler = sampler or SAMPLERS.build("class_balanced")
    if cluster_batches not in ("share", "max", "min"):
        raise ValueError(
            'cluster_batches must be "share", "max" or "min"; received '
            f"{cluster_batches!r}."
        )
    members = [np.flatnonzero(assignment == c) for c in range(num_clusters)]
    turns = [cluster for cluster in range(num_clusters) if len(members[cluster])]
    if not turns:
        raise ValueError(
            f"None of the {len(labels)} images is in one of the {num_clusters} "
            "clusters, so there is nothing to draw. Give every class two images."
        )
    if num_steps is None and cluster_batches == "share":
        num_steps = max(1, len(labels) // batch_size)
    sizes = [max(1, len(members[cluster]) // batch_size) for cluster in turns]
    steps = max(sizes) if cluster_batches == "max" else min(sizes)
    if num_steps is not None:
        turns = _begun_with(turns, seed, epoch)
        steps = -(-num_steps // len(turns))
    drawn = [
        sampler(
            BatchRequest(
                labels=labels,
                rows=members[cluster],
                batch_size=batch_size,
                samples_per_class=samples_per_class,
                steps=steps,
                rng=np.random.default_rng([seed, epoch, cluster]),
                groups=groups,
                super_classes=super_classes,
                class_means=class_means,
            )
        )
        for cluster in turns
    ]
    rows = np.stack(drawn, axis=1).reshape(-1, batch_size)
    learner = np.tile(np.asarray(turns, np.int32), steps)
    return EpochPlan(rows[:num_steps], learner[:num_steps])


def _begun_with(turns: list[int], seed: int, epoch: int) -> list[int]:
    """Returns the turns from another cluster on, as the last round may be cut short."""
    first = int(np.random.default_rng([seed, epoch]).integers(len(turns)))
    return turns[first:] + turns[:first]
