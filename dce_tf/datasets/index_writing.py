"""A data set of any format, written as a CSV index."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dce_tf.base.files import replacing
from dce_tf.datasets.csv_index import HEADER, read_index
from dce_tf.datasets.splits import Images, Splits
from dce_tf.datasets.verdicts import Verdicts

# Columns that an index may have besides, and what they are of.
_MORE = {"group": "groups", "super_class": "super_classes"}


def write_index(splits: Splits, path: Path, verdicts: Verdicts | None = None) -> None:
    """Writes splits as a CSV index, with paths relative to its folder.

    Of several tests it holds the first; images of no known class have no place in it.
    Groups and super-classes are kept.

    Args:
        splits: The data set.
        path: The file.
        verdicts: Which images are left out or get another class; None for none.

    Raises:
        ValueError: If an image does not lie below that folder, or what the verdicts
            leave is no data set.
    """
    if splits.tests[0].overlaps:
        raise ValueError(
            f"--make_index={path}: in the merged search of these sources some images "
            "are both query and gallery, which a CSV index cannot say. Write an index "
            "of each source."
        )
    parts = Splits(splits.train, splits.val, splits.tests[:1]).parts()
    more = [
        column
        for column, field in _MORE.items()
        if any(getattr(images, field) is not None for images in parts.values())
    ]
    with replacing(path) as temporary:
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow((*HEADER, *more))
            for split, images in parts.items():
                writer.writerows(_lines(split, images, more, path, verdicts))
        if verdicts is not None:
            _check(temporary, path)


def _lines(
    split: str,
    images: Images,
    more: Sequence[str],
    path: Path,
    verdicts: Verdicts | None,
) -> Iterator[tuple[str, ...]]:
    root = path.parent.resolve()
    numbers = [getattr(images, _MORE[column]) for column in more]
    for row, (image, label) in enumerate(zip(images.paths, images.labels, strict=True)):
        name: str | None = images.class_names[label]
        if verdicts is not None:
            name = verdicts.class_of(image, str(name))
        if name is not None:
            others = (_number(each, row) for each in numbers)
            yield _below(root, image, path), name, split, *others


def _check(temporary: Path, path: Path) -> None:
    """Checks that what was written can be read again."""
    try:
        read_index(temporary)
    except ValueError as error:
        found = str(error).replace(str(temporary), str(path))
        raise ValueError(
            f"What --verdicts leaves is no data set, and nothing was written. {found}"
        ) from error


def _below(root: Path, image: str, index: Path) -> str:
    # Not the image itself: it may be a link to wherever.
    folder = Path(image).parent.resolve()
    relative = os.path.relpath(folder / Path(image).name, root)
    if relative.startswith(".."):
        raise ValueError(
            f"--make_index={index}: {image} does not lie below {root}, and a CSV "
            "index names images below its own folder. Write it into the data set's "
            "folder."
        )
    return relative


def _number(numbers: npt.NDArray[np.int32] | None, row: int) -> str:
    return "" if numbers is None or numbers[row] < 0 else str(numbers[row])
