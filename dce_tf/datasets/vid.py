"""PKU VehicleID (Liu et al., CVPR 2016)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from dce_tf.base.errors import UsageError
from dce_tf.base.registry import suggest
from dce_tf.datasets import DATASETS
from dce_tf.datasets.checks import build_splits, check_counts
from dce_tf.datasets.listing import (
    Listing,
    clean_path,
    find_base,
    iterate_rows,
    require_data_dir,
)
from dce_tf.datasets.splits import Search, Splits

TEST_IDS = {"small": 800, "medium": 1600, "large": 2400}
PROTOCOLS = {"leave_one_out": 0, "random_gallery": 10}

_CONTENT = "the VehicleID folder, with train_test_split/ and image/"


@DATASETS.register("vid")
def read_vid(
    data_dir: str | None,
    size: str = "large",
    protocol: str = "leave_one_out",
    allow_partial_data: bool = False,
) -> Splits:
    """Reads VehicleID, with all six tests; which is the first decides what is reported.

    By `leave_one_out`, as in the 2019 paper, each image of a test is searched among all
    others of it; by `random_gallery`, as in the data set's own, one random image of
    each vehicle is the gallery, ten times. The first gives much higher scores.

    Args:
        data_dir: The folder that holds `train_test_split/`, or the one above it.
        size: Of the first test: `"small"`, `"medium"` or `"large"`, of 800, 1600 or
            2400 vehicles.
        protocol: Of the first test: `"leave_one_out"` or `"random_gallery"`.
        allow_partial_data: Whether counts may differ from the published ones.

    Raises:
        UsageError: If `data_dir` is not given, or there is no such size or protocol.
        ValueError: If the files are not there or not of the format.
    """
    _check_known("size", size, TEST_IDS)
    _check_known("protocol", protocol, PROTOCOLS)
    root = require_data_dir(data_dir, "vid", _CONTENT)
    base = find_base(root, _CONTENT, "train_test_split")
    train = _read_list(base, base / "train_test_split" / "train_list.txt")
    sizes = sorted(TEST_IDS, key=lambda name: (name != size, TEST_IDS[name]))
    found = [
        _read_size(base, train, TEST_IDS[name], allow_partial_data) for name in sizes
    ]
    tests = [
        Search(f"{name}, {kind}", splits.query, splits.query, PROTOCOLS[kind])
        for kind in sorted(PROTOCOLS, key=lambda name: name != protocol)
        for name, splits in zip(sizes, found, strict=True)
    ]
    warnings = tuple(
        dict.fromkeys(note for splits in found for note in splits.warnings)
    )
    return dataclasses.replace(found[0], tests=tuple(tests), warnings=warnings)


def _check_known(option: str, value: str, known: Iterable[str]) -> None:
    if value not in known:
        raise UsageError(
            f"vid has no test of {option} {value!r}; it has {', '.join(known)}."
            f"{suggest(value, known)}"
        )


def _read_size(
    base: Path, train: Listing, num_ids: int, allow_partial_data: bool
) -> Splits:
    path = base / "train_test_split" / f"test_list_{num_ids}.txt"
    test = _read_list(base, path)
    warnings = check_counts(
        path,
        {"test vehicles": len(set(test.names))},
        {"test vehicles": num_ids},
        allow_partial_data=allow_partial_data,
    )
    listings = {"train": train, "test": test}
    return build_splits(path, listings, recall_at=(1, 5), warnings=warnings)


def _read_list(base: Path, path: Path) -> Listing:
    listing = Listing()
    columns = ("image", "vehicle_id")
    for number, (image, vehicle) in iterate_rows(path, _CONTENT, columns, header=False):
        image = clean_path(image, f"{path}, line {number}").removesuffix(".jpg")
        listing.add(f"{base}/image/{image}.jpg", vehicle, number)
    return listing
