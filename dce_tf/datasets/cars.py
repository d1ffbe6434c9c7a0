"""Stanford Cars (Krause et al. 2013), as one annotation file or as the split devkit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io

from dce_tf.datasets import DATASETS
from dce_tf.datasets.checks import build_splits, check_counts
from dce_tf.datasets.listing import Listing, clean_path, find_base, require_data_dir
from dce_tf.datasets.splits import Splits

TRAIN_CLASSES = 98

_CONTENT = (
    "cars_annos.mat and car_ims/, or devkit/cars_train_annos.mat, "
    "cars_test_annos_withlabels.mat, cars_train/ and cars_test/"
)
_COUNTS = {"train images": 8_054, "test images": 8_131, "classes": 196}
_PARTS = ("train", "test")


@DATASETS.register("cars")
def read_cars(data_dir: str | None, allow_partial_data: bool = False) -> Splits:
    """Reads CARS196: classes 1 to 98 train, 99 to 196 test, whichever part they lie in.

    Args:
        data_dir: The folder that holds `cars_annos.mat` or `devkit/`, or the one above.
        allow_partial_data: Whether counts may differ from the published ones.

    Raises:
        UsageError: If `data_dir` is not given.
        ValueError: If the files are not there or not of the format.
    """
    root = require_data_dir(data_dir, "cars", _CONTENT)
    listings = {"train": Listing(), "test": Listing()}
    source, images = _find_images(root)
    for number, (image, label) in enumerate(images, start=1):
        split = "train" if label <= TRAIN_CLASSES else "test"
        listings[split].add(image, f"{label:03}", number)
    found = {f"{split} images": len(listing) for split, listing in listings.items()}
    found["classes"] = sum(len(set(listing.names)) for listing in listings.values())
    warnings = check_counts(
        source, found, _COUNTS, allow_partial_data=allow_partial_data
    )
    return build_splits(source, listings, warnings=warnings)


def _find_images(root: Path) -> tuple[Path, Iterator[tuple[str, int]]]:
    """Returns the file or folder of annotations, and each image with its class."""
    base = find_base(root, _CONTENT, "cars_annos.mat", "devkit")
    path = base / "cars_annos.mat"
    if path.is_file():
        return path, _images(path, base, "relative_im_path")
    return base / "devkit", _from_devkit(base)


def _from_devkit(base: Path) -> Iterator[tuple[str, int]]:
    for part in _PARTS:
        name = f"cars_{part}_annos{'_withlabels' if part == 'test' else ''}.mat"
        # The labels of the test part were published apart from the devkit.
        places = (base / "devkit" / name, base / name)
        path = next((place for place in places if place.is_file()), places[0])
        yield from _images(path, base / f"cars_{part}", "fname")


def _images(path: Path, folder: Path, field: str) -> Iterator[tuple[str, int]]:
    for number, row in enumerate(_annotations(path, field), start=1):
        image = clean_path(str(row[field]), f"{path}, annotation {number}")
        yield f"{folder}/{image}", int(row["class"])


def _annotations(path: Path, field: str) -> Any:
    if not path.is_file():
        raise ValueError(f"{path}: no such file; expected {_CONTENT}. Put it there.")
    try:
        found = scipy.io.loadmat(path, squeeze_me=True)
        rows = np.atleast_1d(found["annotations"])
        rows[[field, "class"]]
    except Exception as error:  # SciPy raises many kinds for a damaged file.
        raise ValueError(
            f"{path}: cannot be read ({error}); expected a MATLAB file with "
            f"`annotations` that have {field} and class. Download it again."
        ) from error
    return rows
