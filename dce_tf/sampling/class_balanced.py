"""Batches of some classes with some images of each."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from dce_tf.base.errors import UsageError
from dce_tf.sampling import SAMPLERS
from dce_tf.sampling.request import BatchRequest, Rows

_SHORT = ("repeat", "drop", "fill")


@SAMPLERS.register("class_balanced")
@dataclasses.dataclass(frozen=True)
class ClassBalanced:
    """Draws classes evenly, and the same number of images of each.

    Classes are drawn without repeats. Where there are fewer than a batch has places,
    each takes several places. Images of a class are drawn without repeats as far as it
    has enough; classes with one image are left out.

    Args:
        short: What to do with a class of fewer images: `"repeat"` them, `"drop"` the
            class, unless fewer than two would be left, or `"fill"` its places with
            images of any class.

    Raises:
        UsageError: If `short` is unknown.
    """

    short: str = "repeat"

    def __post_init__(self) -> None:
        if self.short not in _SHORT:
            raise UsageError(
                f"class_balanced(short={self.short!r}): expected one of "
                f"{', '.join(_SHORT)}."
            )

    def __call__(self, request: BatchRequest) -> Rows:
        """Draws batches; see `Sampler`."""
        rng, steps = request.rng, request.steps
        least = request.samples_per_class if self.short == "drop" else 2
        pool = ClassPool.of(request.labels, request.rows, least)
        classes, shares = _draw_classes(len(pool), request.places, steps, rng)
        shape = (steps, request.places, request.samples_per_class)
        batches = np.empty(shape, np.int64)
        for share in np.unique(shares)[::-1]:
            columns = np.flatnonzero(shares == share)
            wanted = share * request.samples_per_class
            chosen = classes[:, columns].ravel()
            drawn = pool.draw(chosen, wanted, rng)
            if self.short == "fill":
                drawn = _filled(drawn, pool.counts[chosen], request.rows, rng)
            # Far apart, as each replica gets a part of the batch.
            places = columns[:, None] + len(shares) * np.arange(share)
            batches[:, places] = drawn.reshape(steps, *places.shape, -1)
        return batches.reshape(steps, -1)


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

    def completed(self, chosen: Rows, places: int, rng: np.random.Generator) -> Rows:
        """Fills a batch with other classes at random; they repeat if there are too few.

        Args:
            chosen: Entries of the pool that are in the batch, at most `places`.
            places: Classes of the batch.
            rng: Source of randomness.

        Returns:
            Entries of the pool, int64 `(places,)`, in random order, as each replica
            gets a part of the batch.
        """
        others = rng.permutation(np.setdiff1d(np.arange(len(self)), chosen))
        once = np.concatenate([chosen, others])[:places]
        repeats = np.resize(rng.permutation(once), places - len(once))
        return rng.permutation(np.concatenate([once, repeats]))


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
    # Each class takes ⌊places / classes⌋, and some, drawn again each step, one more.
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
