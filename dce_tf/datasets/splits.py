"""What every reader returns: images and labels, cut into splits."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


@dataclasses.dataclass(frozen=True, eq=False)
class Images:
    """The images of one split; a row is a position in it.

    Attributes:
        paths: Where each image lies.
        labels: Contiguous class of each image, int32, shape `(num_images,)`.
        class_names: Name of each class as the data set spells it; `labels` index it.
    """

    paths: tuple[str, ...]
    labels: npt.NDArray[np.int32]
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)

    @classmethod
    def from_names(cls, paths: Sequence[str], names: Sequence[str]) -> Images:
        """Numbers the classes 0, 1, … in the sorted order of their names.

        Args:
            paths: Where each image lies.
            names: The class of each image, as text.
        """
        class_names, labels = np.unique(np.asarray(names, str), return_inverse=True)
        return cls(tuple(paths), labels.astype(np.int32), tuple(class_names.tolist()))

    def keep(self, rows: npt.NDArray[np.int64]) -> Images:
        """Returns only `rows`, in that order, with classes numbered as before."""
        paths = tuple(self.paths[row] for row in rows)
        return Images(paths, self.labels[rows], self.class_names)

    def select(self, rows: npt.NDArray[np.int64]) -> Images:
        """Returns only `rows`, in that order, with classes numbered anew."""
        names = np.asarray(self.class_names, object)[self.labels[rows]]
        return Images.from_names([self.paths[row] for row in rows], names.tolist())


@dataclasses.dataclass(frozen=True, eq=False)
class Splits:
    """A data set, ready to train and evaluate on.

    Attributes:
        train: What is learned from; its classes are in no other split.
        val: Classes held out for choosing the epoch, or None.
        query: What is searched for in the final test.
        gallery: What is searched in. The same object as `query` where the data
            set has one test split: then each image is searched among all others.
            Otherwise the two number their classes alike.
        recall_at: The K of recall@K that the data set's papers report.
        warnings: What a reader let pass, for the report.
    """

    train: Images
    val: Images | None
    query: Images
    gallery: Images
    recall_at: tuple[int, ...] = (1, 2, 4, 8)
    warnings: tuple[str, ...] = ()

    @property
    def leave_one_out(self) -> bool:
        """Whether the test searches one split within itself."""
        return self.query is self.gallery
