"""Batches with harder negatives: part of the classes come out of one group."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from dce_tf.base.errors import UsageError
from dce_tf.sampling import SAMPLERS
from dce_tf.sampling.class_balanced import ClassPool
from dce_tf.sampling.request import BatchRequest, Rows

_BY = ("cluster", "super_class")


@SAMPLERS.register("grouped")
@dataclasses.dataclass(frozen=True)
class Grouped:
    """Draws some of a batch's classes out of one group, the others out of all.

    A class belongs to the group that most of its images are in.

    Args:
        by: Group by `"cluster"`, those of the last division, or by `"super_class"`,
            where the data set has them.
        share: How many of the classes come out of one group, 0 to 1.

    Raises:
        UsageError: If an option is out of range.
    """

    by: str = "cluster"
    share: float = 0.5

    def __post_init__(self) -> None:
        if self.by not in _BY:
            raise UsageError(
                f"grouped(by={self.by!r}): expected one of {', '.join(_BY)}."
            )
        if not 0 <= self.share <= 1:
            raise UsageError(f"grouped(share={self.share}): expected 0 to 1.")

    def __call__(self, request: BatchRequest) -> Rows:
        """Draws batches; see `Sampler`."""
        if self.by == "super_class" and request.super_classes is None:
            raise UsageError(
                "--sampler='grouped(by=super_class)': this data set has no super-"
                "classes. Use grouped(by=cluster), or add a column super_class to the "
                "CSV index."
            )
        pool, rng = ClassPool.of(request.labels, request.rows), request.rng
        given = request.groups if self.by == "cluster" else request.super_classes
        kinds = np.zeros(len(pool), np.int64)
        if given is not None:
            kinds = _groups_of_classes(pool, given)
        classes = [
            self._draw_classes(pool, kinds, request.places, rng)
            for _ in range(request.steps)
        ]
        drawn = pool.draw(np.concatenate(classes), request.samples_per_class, rng)
        return drawn.reshape(request.steps, -1)

    def _draw_classes(
        self, pool: ClassPool, kinds: Rows, places: int, rng: np.random.Generator
    ) -> Rows:
        # A group is drawn as often as it has classes.
        alike = np.flatnonzero(kinds == rng.choice(kinds))
        alike = rng.permutation(alike)[: round(self.share * places)]
        return pool.completed(alike, places, rng)


def _groups_of_classes(
    pool: ClassPool, groups: npt.NDArray[np.int32]
) -> npt.NDArray[np.int64]:
    """Returns the group that most images of each class are in."""
    most = []
    for first, count in zip(pool.first, pool.counts, strict=True):
        own = groups[pool.sorted_rows[first : first + count]]
        most.append(np.bincount(own[own >= 0], minlength=1).argmax())
    return np.asarray(most, np.int64)
