"""Batches of a class and the classes nearest to it."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from dce_tf.base.errors import UsageError
from dce_tf.sampling import SAMPLERS
from dce_tf.sampling.class_balanced import ClassPool
from dce_tf.sampling.request import BatchRequest, Rows


@SAMPLERS.register("neighbours")
@dataclasses.dataclass(frozen=True)
class Neighbours:
    """Draws a class, classes near to it, and some at random.

    The graph of classes is that of their means, computed again at every clustering:
    Liao and Shao, Graph Sampling Based Deep Metric Learning, CVPR 2022.
    There `share` and `wider` are 1. Each class begins a batch in turn.

    Args:
        share: How many of the classes of a batch, beside the first, are near to it, 0
            to 1; the others are drawn from all.
        wider: The near classes are drawn from this many times as many nearest ones, 1
            or more; 1 always takes the nearest.

    Raises:
        UsageError: If an option is out of range.
    """

    share: float = 0.5
    wider: float = 2.0

    needs_means: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise UsageError(f"neighbours(share={self.share}): expected 0 to 1.")
        if not self.wider >= 1:
            raise UsageError(f"neighbours(wider={self.wider}): expected 1 or more.")

    def __call__(self, request: BatchRequest) -> Rows:
        """Draws batches; see `Sampler`.

        Raises:
            ValueError: If there are no means of the classes.
        """
        if request.class_means is None:
            raise ValueError("The sampler 'neighbours' needs the means of the classes.")
        pool, rng = ClassPool.of(request.labels, request.rows), request.rng
        means = request.class_means[pool.labels]
        near = min(round(self.share * (request.places - 1)), len(pool) - 1)
        within = min(max(near, round(self.wider * near)), len(pool) - 1)
        firsts = _in_turn(len(pool), request.steps, rng)
        alike = _nearest(means, firsts, within)
        classes = []
        for first, others in zip(firsts, alike, strict=True):
            begun = np.concatenate([[first], rng.permutation(others)[:near]])
            classes.append(pool.completed(begun, request.places, rng))
        drawn = pool.draw(np.concatenate(classes), request.samples_per_class, rng)
        return drawn.reshape(request.steps, -1)


def _in_turn(count: int, steps: int, rng: np.random.Generator) -> Rows:
    """Returns which class begins each batch: all of them before one comes again."""
    rounds = [rng.permutation(count) for _ in range(-(-steps // count))]
    return np.concatenate(rounds)[:steps]


def _nearest(means: npt.NDArray[np.float32], firsts: Rows, count: int) -> Rows:
    """Returns the classes nearest to some, itself left out, `(num_firsts, count)`."""
    if count == 0:
        return np.empty((len(firsts), 0), np.int64)
    similarity = means[firsts] @ means.T
    similarity[np.arange(len(firsts)), firsts] = -np.inf
    return np.argpartition(-similarity, count - 1, axis=1)[:, :count]
