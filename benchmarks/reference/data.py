"""The data set and its loaders."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks.reference.pictures import evaluation_image, read_image, training_image
from benchmarks.reference.sampler import ClassBalancedBatches


@dataclasses.dataclass
class Split:
    """The images of a split, and the class of each."""

    paths: list[str]
    labels: list[int]


def read_splits(data_dir: Path) -> dict[str, Split]:
    """Reads `index.csv`: a split `train`, and `test` or `query` and `gallery`."""
    path = data_dir / "index.csv" if data_dir.is_dir() else data_dir
    splits: dict[str, Split] = {}
    numbers: dict[str, int] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            split = splits.setdefault(line["split"], Split([], []))
            split.paths.append(str(path.parent / line["path"]))
            split.labels.append(numbers.setdefault(line["label"], len(numbers)))
    return splits


class Pictures(Dataset):
    """Images of a split with their classes.

    Args:
        split: Which.
        image_size: Side in pixels.
        train: Whether crops are random.
    """

    def __init__(self, split: Split, image_size: int, train: bool) -> None:
        self._split = split
        self._image_size = image_size
        self._crop = training_image if train else evaluation_image

    def __len__(self) -> int:
        return len(self._split.paths)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        image = read_image(self._split.paths[row])
        pixels = self._crop(image, self._image_size)
        return torch.from_numpy(pixels), self._split.labels[row]


def cluster_loaders(
    pictures: Pictures,
    split: Split,
    rows: Sequence[Sequence[int]],
    batch_size: int,
    samples_per_class: int,
    num_workers: int,
) -> dict[int, DataLoader]:
    """Returns a loader for each cluster that has images, with workers of its own."""
    return {
        number: DataLoader(
            pictures,
            batch_sampler=ClassBalancedBatches(
                own, split.labels, batch_size, samples_per_class
            ),
            num_workers=num_workers,
        )
        for number, own in enumerate(rows)
        if own
    }


def take_turns(
    loaders: dict[int, DataLoader], num_steps: int | None = None
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Yields learner, images and labels: clusters take turns, one batch each.

    Args:
        loaders: One a cluster; smaller ones start over.
        num_steps: Batches in all; by default as many rounds as the largest has
            batches.
    """
    rounds = max(len(loader) for loader in loaders.values())
    left = rounds * len(loaders) if num_steps is None else num_steps
    iterators = {number: iter(loader) for number, loader in loaders.items()}
    while left:
        for number, loader in loaders.items():
            batch = next(iterators[number], None)
            if batch is None:
                iterators[number] = iter(loader)
                batch = next(iterators[number])
            yield number, *batch
            left -= 1
            if not left:
                break
