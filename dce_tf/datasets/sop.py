"""Stanford Online Products (Song et al., CVPR 2016)."""

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

COLUMNS = ("image_id", "class_id", "super_class_id", "path")

_CONTENT = "the folder Stanford_Online_Products, with Ebay_train.txt and Ebay_test.txt"
_COUNTS = {
    "train images": 59_551,
    "train classes": 11_318,
    "test images": 60_502,
    "test classes": 11_316,
}


@DATASETS.register("sop")
def read_sop(data_dir: str | None, allow_partial_data: bool = False) -> Splits:
    """Reads Stanford Online Products as its authors publish it.

    Args:
        data_dir: The folder that holds `Ebay_train.txt`, or the one above it.
        allow_partial_data: Whether counts may differ from the published ones.

    Raises:
        UsageError: If `data_dir` is not given.
        ValueError: If the files are not there or not of the format.
    """
    root = require_data_dir(data_dir, "sop", _CONTENT)
    base = find_base(root, _CONTENT, "Ebay_train.txt")
    listings = {split: _read_list(base, split) for split in ("train", "test")}
    found = {
        f"{split} {what}": count
        for split, listing in listings.items()
        for what, count in (
            ("images", len(listing)),
            ("classes", len(set(listing.names))),
        )
    }
    warnings = check_counts(base, found, _COUNTS, allow_partial_data=allow_partial_data)
    return build_splits(base, listings, recall_at=(1, 10, 100, 1000), warnings=warnings)


def _read_list(base: Path, split: str) -> Listing:
    path = base / f"Ebay_{split}.txt"
    listing = Listing()
    for number, fields in iterate_rows(path, _CONTENT, COLUMNS, header=True):
        image = clean_path(fields[3], f"{path}, line {number}")
        listing.add(f"{base}/{image}", fields[1], number)
        listing.super_classes.append(fields[2])
    return listing
