"""Caltech-UCSD Birds 200-2011 (Wah et al. 2011)."""

from __future__ import annotations

from pathlib import Path

from dce_tf.datasets import DATASETS
from dce_tf.datasets.checks import build_splits, check_counts
from dce_tf.datasets.listing import (
    Listing,
    clean_path,
    find_base,
    iterate_rows,
    require_data_dir,
)
from dce_tf.datasets.splits import Splits

TRAIN_CLASSES = 100

_CONTENT = (
    "the folder CUB_200_2011, with images.txt, image_class_labels.txt and images/"
)
_COUNTS = {"train images": 5_864, "test images": 5_924, "classes": 200}


@DATASETS.register("cub")
def read_cub(data_dir: str | None, allow_partial_data: bool = False) -> Splits:
    """Reads CUB-200-2011: classes 1 to 100 train, 101 to 200 test.

    Args:
        data_dir: The folder that holds `images.txt`, or the one above it.
        allow_partial_data: Whether counts may differ from the published ones.

    Raises:
        UsageError: If `data_dir` is not given.
        ValueError: If the files are not there or not of the format.
    """
    root = require_data_dir(data_dir, "cub", _CONTENT)
    base = find_base(root, _CONTENT, "images.txt")
    classes = _read_classes(base)
    listings = {"train": Listing(), "test": Listing()}
    path = base / "images.txt"
    for number, (image, name) in iterate_rows(
        path, _CONTENT, ("image_id", "image_name"), header=False
    ):
        where = f"{path}, line {number}"
        if image not in classes:
            raise ValueError(
                f"{where}: found image {image}, which image_class_labels.txt does not "
                "name; expected a class for each. Download both files again."
            )
        split = "train" if classes[image] <= TRAIN_CLASSES else "test"
        # Numbers of one width sort as numbers do.
        listings[split].add(
            f"{base}/images/{clean_path(name, where)}", f"{classes[image]:03}", number
        )
    found = {f"{split} images": len(listing) for split, listing in listings.items()}
    found["classes"] = len(set(classes.values()))
    warnings = check_counts(path, found, _COUNTS, allow_partial_data=allow_partial_data)
    return build_splits(path, listings, warnings=warnings)


def _read_classes(base: Path) -> dict[str, int]:
    path = base / "image_class_labels.txt"
    classes = {}
    for number, (image, label) in iterate_rows(
        path, _CONTENT, ("image_id", "class_id"), header=False
    ):
        if not label.isdecimal():
            raise ValueError(
                f"{path}, line {number}: found class {label!r}; expected a number. "
                "Download the file again."
            )
        classes[image] = int(label)
    return classes
