"""Which rows go into which batch: plain NumPy, no TensorFlow."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]


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

    Raises:
        ValueError: If `cluster_batches` is neither, no image is in a cluster, or as
            `class_balanced_batches`.
    """
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
        class_balanced_batches(
            labels,
            members[cluster],
            batch_size=batch_size,
            samples_per_class=samples_per_class,
            steps=steps,
            rng=np.random.default_rng([seed, epoch, cluster]),
        )
        for cluster in turns
    ]
    rows = np.stack(drawn, axis=1).reshape(-1, batch_size)
    return EpochPlan(rows, np.tile(np.asarray(turns, np.int32), steps))


def class_balanced_batches(
    labels: npt.NDArray[np.int32],
    rows: Rows,
    *,
    batch_size: int,
    samples_per_class: int,
    steps: int,
    rng: np.random.Generator,
) -> Rows:
    """Draws batches that hold `samples_per_class` images of each class drawn.

    Classes are drawn uniformly and without repeats. Where there are fewer than a batch
    has places, each takes several places. Images of a class are drawn without repeats
    as far as it has enough.

    Args:
        labels: Class of each image of the split, int32 `(num_images,)`.
        rows: The images to draw from, as positions in `labels`. Classes with one image
            among them are left out.
        batch_size: Images a batch.
        samples_per_class: Images of one class in a batch, side by side.
        steps: How many batches.
        rng: Source of randomness; the same state draws the same batches.

    Returns:
        Rows, int64 `(steps, batch_size)`.

    Raises:
        ValueError: If `samples_per_class` does not divide `batch_size`, or no class has
            two images in `rows`.
    """
    if batch_size % samples_per_class:
        raise ValueError(
            f"batch_size ({batch_size}) must be a multiple of "
            f"samples_per_class ({samples_per_class})."
        )
    # Images of class c are sorted_rows[first[c] : first[c] + counts[c]].
    sorted_rows = rows[np.argsort(labels[rows], kind="stable")]
    _, first, counts = np.unique(
        labels[sorted_rows], return_index=True, return_counts=True
    )
    first, counts = first[counts > 1], counts[counts > 1]
    if not len(counts):
        raise ValueError("No class has two images here, so there is no positive pair.")
    places = batch_size // samples_per_class
    classes, shares = _draw_classes(len(counts), places, steps, rng)
    batches = np.empty((steps, batch_size), np.int64)
    start = 0
    for share in np.unique(shares)[::-1]:
        columns = np.flatnonzero(shares == share)
        wanted = share * samples_per_class
        chosen = classes[:, columns].ravel()
        within = _draw_images(counts[chosen], wanted, rng)
        stop = start + len(columns) * wanted
        drawn = sorted_rows[first[chosen][:, None] + within]
        batches[:, start:stop] = drawn.reshape(steps, -1)
        start = stop
    return batches


def _draw_classes(
    num_classes: int, places: int, steps: int, rng: np.random.Generator
) -> tuple[Rows, Rows]:
    """Draws the classes of each batch, and how many places each column takes."""
    populations = np.full(steps, num_classes)
    if num_classes >= places:
        # Floyd's method draws low numbers first, and each replica gets a part of the
        # batch: shuffled, every replica sees every class.
        drawn = rng.permuted(_without_repeats(populations, places, rng), axis=1)
        return drawn, np.ones(places, np.int64)
    # Each class takes ⌊places / classes⌋, and some, drawn anew each step, one more.
    order = rng.permuted(np.tile(np.arange(num_classes), (steps, 1)), axis=1)
    more = np.arange(num_classes) < places % num_classes
    return order, places // num_classes + more


def _draw_images(counts: Rows, wanted: int, rng: np.random.Generator) -> Rows:
    """Draws `wanted` out of each number of images; repeats evenly if short."""
    enough = counts >= wanted
    drawn = np.empty((len(counts), wanted), np.int64)
    drawn[enough] = _without_repeats(counts[enough], wanted, rng)
    short = counts[~enough, None]
    drawn[~enough] = (rng.integers(short) + np.arange(wanted)) % short
    return drawn


def _without_repeats(populations: Rows, wanted: int, rng: np.random.Generator) -> Rows:
    """Draws subsets of 0 … n−1 for each n at once (Floyd's method).

    All subsets are equally likely, their orders are not.
    """
    drawn = np.empty((len(populations), wanted), np.int64)
    for i in range(wanted):
        last = populations - wanted + i
        candidate = rng.integers(last + 1)
        taken = (drawn[:, :i] == candidate[:, None]).any(axis=1)
        drawn[:, i] = np.where(taken, last, candidate)
    return drawn
