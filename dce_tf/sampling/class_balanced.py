"""Batches of some classes with some images of each."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from dce_tf.errors import UsageError
from dce_tf.sampling import SAMPLERS

Rows = npt.NDArray[np.int64]

_SHORT = ("repeat", "drop", "fill")


def check_short(short: str) -> None:
    """Checks what to do with small classes.

    Raises:
        UsageError: If it is unknown.
    """
    if short not in _SHORT:
        raise UsageError(f"short={short!r}: expected one of {', '.join(_SHORT)}.")


@SAMPLERS.register("class_balanced")
@dataclasses.dataclass(frozen=True)
class ClassBalanced:
    """Draws classes evenly, and the same number of images of each.

    Args:
        short: See `class_balanced_batches`.

    Raises:
        UsageError: If `short` is unknown.
    """

    short: str = "repeat"

    def __post_init__(self) -> None:
        check_short(self.short)

    def __call__(
        self,
        labels: npt.NDArray[np.int32],
        rows: Rows,
        *,
        batch_size: int,
        samples_per_class: int,
        steps: int,
        rng: np.random.Generator,
        groups: npt.NDArray[np.int32] | None = None,
        super_classes: npt.NDArray[np.int32] | None = None,
    ) -> Rows:
        """Draws batches; see `Sampler`."""
        del groups, super_classes
        return class_balanced_batches(
            labels,
            rows,
            batch_size=batch_size,
            samples_per_class=samples_per_class,
            steps=steps,
            rng=rng,
            short=self.short,
        )


def class_balanced_batches(
    labels: npt.NDArray[np.int32],
    rows: Rows,
    *,
    batch_size: int,
    samples_per_class: int,
    steps: int,
    rng: np.random.Generator,
    short: str = "repeat",
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
        short: What to do with a class of fewer images: `"repeat"` them, `"drop"` the
            class, unless fewer than two would be left, or `"fill"` its places with
            images of any class.

    Returns:
        Rows, int64 `(steps, batch_size)`.

    Raises:
        ValueError: If `samples_per_class` does not divide `batch_size`, or no class has
            two images in `rows`.
    """
    pool = ClassPool.of(labels, rows, samples_per_class if short == "drop" else 2)
    places = count_places(batch_size, samples_per_class)
    classes, shares = _draw_classes(len(pool), places, steps, rng)
    batches = np.empty((steps, batch_size), np.int64)
    start = 0
    for share in np.unique(shares)[::-1]:
        columns = np.flatnonzero(shares == share)
        wanted = share * samples_per_class
        drawn = pool.draw(classes[:, columns].ravel(), wanted, rng)
        if short == "fill":
            counts = pool.counts[classes[:, columns].ravel()]
            drawn = _filled(drawn, counts, rows, rng)
        stop = start + len(columns) * wanted
        batches[:, start:stop] = drawn.reshape(steps, -1)
        start = stop
    return batches


def count_places(batch_size: int, samples_per_class: int) -> int:
    """Returns how many classes a batch has places for.

    Raises:
        ValueError: If `samples_per_class` does not divide `batch_size`.
    """
    if batch_size % samples_per_class:
        raise ValueError(
            f"batch_size ({batch_size}) must be a multiple of "
            f"samples_per_class ({samples_per_class})."
        )
    return batch_size // samples_per_class


@dataclasses.dataclass(frozen=True, eq=False)
class ClassPool:
    """Images to draw from, by class.

    Attributes:
        sorted_rows: The images, those of a class side by side.
        labels: Class of each entry of the pool, `(num_classes,)`.
        first: Where each class begins in `sorted_rows`.
        counts: How many images each has, 2 or more.
    """

    sorted_rows: Rows
    labels: Rows
    first: Rows
    counts: Rows

    def __len__(self) -> int:
        return len(self.counts)

    @classmethod
    def of(
        cls, labels: npt.NDArray[np.int32], rows: Rows, min_images: int = 2
    ) -> ClassPool:
        """Sorts images by class.

        Args:
            labels: Class of each image of the split, int32 `(num_images,)`.
            rows: The images, as positions in `labels`.
            min_images: Leave out classes of fewer, unless fewer than two are left.

        Raises:
            ValueError: If no class has two images.
        """
        sorted_rows = rows[np.argsort(labels[rows], kind="stable")]
        names, first, counts = np.unique(
            labels[sorted_rows], return_index=True, return_counts=True
        )
        least = min(min_images, max(2, np.sort(counts)[-2:][0]))
        kept = counts >= least
        if not kept.any():
            raise ValueError(
                "No class has two images here, so there is no positive pair."
            )
        return cls(sorted_rows, names[kept], first[kept], counts[kept])

    def draw(self, classes: Rows, wanted: int, rng: np.random.Generator) -> Rows:
        """Draws images of classes.

        Args:
            classes: Entries of the pool, `(num_drawn,)`.
            wanted: Images of each; a class with fewer repeats them evenly.
            rng: Source of randomness.

        Returns:
            Rows, int64 `(num_drawn, wanted)`.
        """
        within = _draw_images(self.counts[classes], wanted, rng)
        return self.sorted_rows[self.first[classes][:, None] + within]


def _filled(drawn: Rows, counts: Rows, rows: Rows, rng: np.random.Generator) -> Rows:
    """Puts images of any class where a class repeats its own."""
    repeats = np.arange(drawn.shape[1]) >= counts[:, None]
    return np.where(repeats, rng.choice(rows, drawn.shape), drawn)


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
