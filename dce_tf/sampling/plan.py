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
    cluster_batches: str = "max",
    sampler: Sampler | None = None,
    groups: npt.NDArray[np.int32] | None = None,
    super_classes: npt.NDArray[np.int32] | None = None,
) -> EpochPlan:
    """Draws an epoch in which the clusters take turns, one batch each.

    Every cluster with images gets the same number of batches: as many as its images
    fill, at least one, in the largest (or smallest) of them.

    Args:
        labels: Class of each image, int32 `(num_images,)`.
        assignment: Cluster of each image, int32 `(num_images,)`; −1 is not drawn.
        num_clusters: How many clusters; empty ones take no turn.
        batch_size: Images a batch, over all replicas.
        samples_per_class: Images of one class in a batch, side by side.
        seed: With epoch and cluster, decides the rows.
        epoch: Number of the epoch.
        cluster_batches: `"max"` or `"min"`.
        sampler: Draws the batches of a cluster; by default `ClassBalanced`.
        groups: Cluster of each image in the last clustering, for samplers that look
            for alike images; int32 `(num_images,)`.
        super_classes: Super-class of each image, likewise.

    Raises:
        ValueError: If `cluster_batches` is neither, no image is in a cluster, or as
            the sampler.
    """
    sampler = sampler or SAMPLERS.build("class_balanced")
    if cluster_batches not in ("max", "min"):
        raise ValueError(
            f'cluster_batches must be "max" or "min"; received {cluster_batches!r}.'
        )
    members = [np.flatnonzero(assignment == c) for c in range(num_clusters)]
    turns = [cluster for cluster in range(num_clusters) if len(members[cluster])]
    if not turns:
        raise ValueError(
            f"None of the {len(labels)} images is in one of the {num_clusters} "
            "clusters, so there is nothing to draw. Give every class two images."
        )
    sizes = [max(1, len(members[cluster]) // batch_size) for cluster in turns]
    steps = max(sizes) if cluster_batches == "max" else min(sizes)
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
            )
        )
        for cluster in turns
    ]
    rows = np.stack(drawn, axis=1).reshape(-1, batch_size)
    return EpochPlan(rows, np.tile(np.asarray(turns, np.int32), steps))
