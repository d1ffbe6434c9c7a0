"""PKU VehicleID (Liu et al., CVPR 2016)."""

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
from dce_tf.errors import UsageError
from dce_tf.registry import suggest

TEST_IDS = {"small": 800, "medium": 1600, "large": 2400}

_CONTENT = "the VehicleID folder, with train_test_split/ and image/"


@DATASETS.register("vid")
def read_vid(
    data_dir: str | None, size: str = "large", allow_partial_data: bool = False
) -> Splits:
    """Reads VehicleID; each image of the test is searched among all others of it.

    That is the protocol of the 2019 paper, `leave_one_out`; scores by the other one in
    use, a random image of each vehicle as the gallery, are much lower.

    Args:
        data_dir: The folder that holds `train_test_split/`, or the one above it.
        size: Which test: `"small"`, `"medium"` or `"large"`, of 800, 1600 or 2400
            vehicles.
        allow_partial_data: Whether counts may differ from the published ones.

    Raises:
        UsageError: If `data_dir` is not given, or there is no such size.
        ValueError: If the files are not there or not of the format.
    """
    if size not in TEST_IDS:
        raise UsageError(
            f"vid has no test of size {size!r}; it has {', '.join(TEST_IDS)}."
            f"{suggest(size, TEST_IDS)}"
        )
    root = require_data_dir(data_dir, "vid", _CONTENT)
    base = find_base(root, _CONTENT, "train_test_split")
    path = base / "train_test_split" / f"test_list_{TEST_IDS[size]}.txt"
    listings = {
        "train": _read_list(base, path.with_name("train_list.txt")),
        "test": _read_list(base, path),
    }
    warnings = check_counts(
        path,
        {"test vehicles": len(set(listings["test"].names))},
        {"test vehicles": TEST_IDS[size]},
        allow_partial_data=allow_partial_data,
    )
    return build_splits(path, listings, recall_at=(1, 5), warnings=warnings)


def _read_list(base: Path, path: Path) -> Listing:
    listing = Listing()
    columns = ("image", "vehicle_id")
    for number, (image, vehicle) in iterate_rows(path, _CONTENT, columns, header=False):
        image = clean_path(image, f"{path}, line {number}").removesuffix(".jpg")
        listing.add(f"{base}/image/{image}.jpg", vehicle, number)
    return listing
