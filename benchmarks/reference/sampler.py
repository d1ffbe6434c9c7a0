"""Batches of some classes with some images of each, drawn one by one in Python."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence


class ClassBalancedBatches:
    """The batches of one cluster, as many as its images fill, at least one.

    Args:
        rows: The images of the cluster.
        labels: Class of each image of the split.
        batch_size: Images per batch.
        samples_per_class: Images of a class in it; a class with fewer repeats some.
    """

    def __init__(
        self,
        rows: Sequence[int],
        labels: Sequence[int],
        batch_size: int,
        samples_per_class: int,
    ) -> None:
        self._by_class: dict[int, list[int]] = defaultdict(list)
        for row in rows:
            self._by_class[labels[row]].append(row)
        self._num_classes = batch_size // samples_per_class
        self._samples_per_class = samples_per_class
        self._num_batches = max(1, len(rows) // batch_size)

    def __len__(self) -> int:
        return self._num_batches

    def __iter__(self) -> Iterator[list[int]]:
        classes = list(self._by_class)
        for _ in range(self._num_batches):
            batch: list[int] = []
            for label in _draw(classes, self._num_classes):
                batch += _draw(self._by_class[label], self._samples_per_class)
            yield batch


def _draw(choices: Sequence[int], count: int) -> list[int]:
    """Draws without repeats, where there are enough."""
    if len(choices) >= count:
        return random.sample(choices, count)
    return [random.choice(choices) for _ in range(count)]
