"""Looks at a folder of photographs, and says what is in it or what is wrong with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dce_tf.base.errors import UsageError
from dce_tf.base.program import PROGRAM
from dce_tf.datasets import DATASETS, Images, Splits
from dce_tf.datasets.checks import require_train
from dce_tf.datasets.folder import holds_splits
from dce_tf.images.pillow import UNREADABLE, open_image
from dce_tf.images.scan import own_pixel_limit
from dce_tf.index.building import RECORDS
from dce_tf.index.manifest import FILE

TEST_FRACTION = 0.2
"""Share of the classes that test, where the data do not say which do."""

_WANTED = "a folder that holds a folder of photographs for each class, or an index.csv"
_SAMPLE = 200  # Images whose size is looked at.


@dataclasses.dataclass(frozen=True, eq=False)
class Found:
    """What is in a folder.

    Attributes:
        data_dir: The folder, as it was given.
        dataset: What reads it, as for `--dataset`.
        splits: What that finds.
        side: Shorter side of the images in pixels, the median.
        megapixels: Of an image, the median.
    """

    data_dir: str
    dataset: str
    splits: Splits
    side: int
    megapixels: float

    @property
    def num_images(self) -> int:
        """Images of all splits."""
        return sum(len(part) for part in self.splits.parts().values())

    @property
    def name(self) -> str:
        """What to call a run on it."""
        path = Path(self.data_dir).expanduser().resolve()
        return path.name if path.is_dir() else path.stem


def look(data_dir: str) -> Found:
    """Looks at a folder.

    Args:
        data_dir: Where the photographs lie, or a CSV index of them.

    Raises:
        UsageError: If it is not there, is empty, or is of another kind.
        ValueError: If nothing can be learned from what is there.
    """
    path = Path(data_dir).expanduser()
    _check_kind(path)
    if path.is_file() or (path / "index.csv").is_file():
        dataset = "csv"
    elif holds_splits(path):
        dataset = "folder"
    else:
        dataset = f"folder(test_fraction={TEST_FRACTION})"
    splits = DATASETS.build(dataset, data_dir=str(path), allow_partial_data=False)
    require_train(splits, str(path))
    sizes = _sizes([p for part in splits.parts().values() for p in part.paths])
    side = int(np.median(sizes.min(axis=1)))
    pixels = float(np.median(sizes.prod(axis=1)))
    return Found(data_dir, dataset, splits, side, pixels / 1e6)


def describe(found: Found) -> str:
    """Returns a sentence on what was found."""
    parts = found.splits.parts()
    sizes = np.concatenate([class_sizes(part) for part in parts.values()])
    names = {
        part.class_names[label] for part in parts.values() for label in part.labels
    }
    each = f"{sizes.min()}"
    if sizes.min() < sizes.max():
        each += f" to {sizes.max()} (median {np.median(sizes):g})"
    return (
        f"{found.data_dir}: {found.num_images:,} images of {len(names):,} classes, "
        f"{each} per class; the shorter side is {found.side} pixels (median)."
    )


def class_sizes(images: Images) -> npt.NDArray[np.int64]:
    """Returns how many images each class has, of those that have any."""
    sizes: npt.NDArray[np.int64] = np.unique(images.labels, return_counts=True)[1]
    return sizes


def _check_kind(path: Path) -> None:
    """Checks that a path is none of what this program writes, and not nothing."""
    where = f"quickstart {path}"
    if not path.exists():
        raise UsageError(f"{where}: there is no such folder. Name {_WANTED}.")
    if path.is_file():
        if path.suffix.lower() != ".csv":
            raise UsageError(f"{where}: that is a file. Name {_WANTED}.")
        return
    if (path / "config.json").is_file():
        raise UsageError(
            f"{where}: that is a run already. `{PROGRAM} embed {path}` goes on with "
            f"it; to train, name {_WANTED}."
        )
    if all((path / each).is_file() for each in (FILE, RECORDS)):
        raise UsageError(
            f"{where}: that is an index already. `{PROGRAM} serve RUN --index={path}` "
            f"shows it; to train, name {_WANTED}."
        )
    if any(path.glob("part-*.parquet")):
        raise UsageError(
            f"{where}: those are embeddings. `{PROGRAM} index {path}` goes on with "
            f"them; to train, name {_WANTED}."
        )
    if not any(not each.name.startswith(".") for each in path.iterdir()):
        raise UsageError(f"{where}: that folder is empty. Name {_WANTED}.")


def _sizes(paths: Sequence[str]) -> npt.NDArray[np.int64]:
    """Returns width and height of some of the images, int64 `(num, 2)`."""
    step = max(1, len(paths) // _SAMPLE)
    looked_at = paths[::step]
    sizes, problems = [], []
    with own_pixel_limit():
        for path in looked_at:
            try:
                with open_image(path) as image:
                    sizes.append(image.size)
            except UNREADABLE as error:
                problems.append(f"{path} ({type(error).__name__})")
    if not sizes:
        raise ValueError(
            f"None of {len(looked_at)} images that were looked at can be opened, e.g. "
            f"{problems[0]}. Convert them to JPEG or PNG."
        )
    return np.array(sizes, np.int64)
