"""The images that are examined: all splits in one row of numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from dce_tf.datasets import Images, Splits

Rows = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True, eq=False)
class Population:
    """The images of a data set, each once; a row is a position among all.

    Attributes:
        paths: Where each image lies.
        labels: Class of each image, int32 `(num_images,)`; −1 where none is known.
        class_names: Name of each class; `labels` index it.
        splits: The split of each image, int32 `(num_images,)`.
        split_names: Name of each split; `splits` index it.
    """

    paths: tuple[str, ...]
    labels: npt.NDArray[np.int32]
    class_names: tuple[str, ...]
    splits: npt.NDArray[np.int32]
    split_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)

    @classmethod
    def of(cls, splits: Splits) -> Population:
        """Returns the images of a data set; one of several splits is in the first."""
        parts = splits.parts()
        nobody: tuple[Images, ...] = ()
        if splits.open_set is not None:
            open_set = splits.open_set
            nobody = (open_set.val, open_set.test, open_set.unlabelled)
        classless = {id(images) for images in nobody}
        paths: list[str] = []
        names: list[str | None] = []
        where: list[str] = []
        for part, images in parts.items():
            known = id(images) not in classless
            paths += images.paths
            names += [
                images.class_names[label] if known else None
                for label in images.labels.tolist()
            ]
            # Several tests have a query and a gallery each, which may share images.
            where += [part.split(": ")[-1]] * len(images)
        return cls.from_lists(paths, names, where)

    @classmethod
    def from_lists(
        cls, paths: Sequence[str], names: Sequence[str | None], splits: Sequence[str]
    ) -> Population:
        """Numbers classes and splits; a path that is there again is passed over.

        Args:
            paths: Where each image lies.
            names: The class of each; None where none is known.
            splits: The split of each.
        """
        first = {path: row for row, path in reversed(list(enumerate(paths)))}
        rows = sorted(first.values())
        class_names = sorted({name for name in names if name is not None})
        number: dict[str | None, int] = {
            name: label for label, name in enumerate(class_names)
        }
        split_names = tuple(dict.fromkeys(splits))
        place = {name: split for split, name in enumerate(split_names)}
        return cls(
            tuple(paths[row] for row in rows),
            np.array([number.get(names[row], -1) for row in rows], np.int32),
            tuple(class_names),
            np.array([place[splits[row]] for row in rows], np.int32),
            split_names,
        )

    @cached_property
    def row_of(self) -> Mapping[str, int]:
        """The row of each path."""
        return {path: row for row, path in enumerate(self.paths)}

    @cached_property
    def sizes(self) -> Rows:
        """How many images each class has, int64 `(num_classes,)`."""
        known = self.labels[self.labels >= 0]
        return np.bincount(known, minlength=len(self.class_names))

    def name(self, row: int) -> str:
        """Returns the class of an image; empty where none is known."""
        label = int(self.labels[row])
        return "" if label < 0 else self.class_names[label]

    def split(self, row: int) -> str:
        """Returns the split of an image."""
        return self.split_names[int(self.splits[row])]

    def keep(self, rows: Rows) -> Population:
        """Returns only `rows`, with classes and splits numbered as before."""
        return dataclasses.replace(
            self,
            paths=tuple(self.paths[row] for row in rows),
            labels=self.labels[rows],
            splits=self.splits[rows],
        )
