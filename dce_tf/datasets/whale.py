"""Humpback Whale Identification (Kaggle, 2018)."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from dce_tf.base.errors import UsageError
from dce_tf.datasets import DATASETS
from dce_tf.datasets.checks import build_splits, check_counts, check_unique
from dce_tf.datasets.listing import (
    Listing,
    clean_path,
    find_base,
    iterate_csv,
    read_text,
    require_data_dir,
)
from dce_tf.datasets.splits import Images, OpenSet, Splits

UNKNOWN = "new_whale"
HEADER = ("Image", "Id")

_CONTENT = "the folder with train.csv, train/ and test/"
_COUNTS = {"images": 25_361, "ids": 5_005, f"images of {UNKNOWN}": 9_664}


@DATASETS.register("whale")
def read_whale(
    data_dir: str | None,
    test_fraction: float = 0.2,
    split_seed: int = 0,
    allow_partial_data: bool = False,
) -> Splits:
    """Reads the competition's data; its own test has no labels, so whales are held out.

    A share of the whales with two images or more is the test, searched within itself;
    the others, and the whales with one image, are trained on. `new_whale` stands for
    whales that nobody knows and is no class: such images are trained on nowhere, and
    cut in the same share into those that choose when to answer `new_whale` and those
    that test it. Not Kaggle's own protocol, where the whales of the test are trained
    on: scores are lower than on its leaderboard.

    Args:
        data_dir: The folder that holds `train.csv`, or the one above it.
        test_fraction: Share of the whales to hold out, in (0, 1).
        split_seed: Another seed holds out other whales.
        allow_partial_data: Whether counts may differ from the published ones.

    Raises:
        UsageError: If `data_dir` is not given, or `test_fraction` not in (0, 1).
        ValueError: If the files are not there or not of the format.
    """
    if not 0 < test_fraction < 1:
        raise UsageError(
            f"whale: test_fraction={test_fraction} must be a share in (0, 1), such as "
            "0.2."
        )
    root = require_data_dir(data_dir, "whale", _CONTENT)
    base = find_base(root, _CONTENT, "train.csv")
    path = base / "train.csv"
    listing = _read_list(path, base / "train")
    check_unique(path, {"train": listing})
    names = np.asarray(listing.names)
    num_unknown = np.count_nonzero(names == UNKNOWN)
    warnings = check_counts(
        path,
        {
            "images": len(listing),
            "ids": len(set(listing.names)),
            f"images of {UNKNOWN}": int(num_unknown),
        },
        _COUNTS,
        allow_partial_data=allow_partial_data,
    )
    rng = np.random.default_rng(split_seed)
    known, sizes = np.unique(names[names != UNKNOWN], return_counts=True)
    pairs = rng.permutation(known[sizes > 1])
    held = pairs[: max(1, round(test_fraction * len(pairs)))]
    in_test = np.isin(names, held)
    listings = {
        "train": _take(listing, ~in_test & (names != UNKNOWN)),
        "test": _take(listing, in_test),
    }
    splits = build_splits(
        path, listings, recall_at=(1, 5), map_at=(5,), warnings=warnings
    )
    if num_unknown < 2:
        raise ValueError(
            f"{path}: found {num_unknown} images of {UNKNOWN}; expected two or more: "
            "some choose when to answer it, some test that. Download the file again."
        )
    unknown = rng.permutation(np.flatnonzero(names == UNKNOWN))
    cut = min(len(unknown) - 1, max(1, round(test_fraction * len(unknown))))
    to_answer = _names_to_answer(base)
    open_set = OpenSet(
        UNKNOWN,
        num_unknown / len(listing),
        _unknown([listing.paths[row] for row in sorted(unknown[cut:])]),
        _unknown([listing.paths[row] for row in sorted(unknown[:cut])]),
        _unknown([f"{base}/test/{name}" for name in to_answer]),
        to_answer,
    )
    return dataclasses.replace(splits, open_set=open_set)


def _read_list(path: Path, folder: Path) -> Listing:
    lines = iterate_csv(path, read_text(path, _CONTENT))
    header = tuple(next(lines)[1])
    if header != HEADER:
        raise ValueError(
            f"{path}, line 1: found header {','.join(header)!r}; expected "
            f"{','.join(HEADER)!r}. Download the file again."
        )
    listing = Listing()
    for number, fields in lines:
        where = f"{path}, line {number}"
        if len(fields) < len(HEADER) or not all(fields[: len(HEADER)]):
            raise ValueError(
                f"{where}: found {fields}; expected an image and the id of its whale. "
                "Download the file again."
            )
        listing.add(f"{folder}/{clean_path(fields[0], where)}", fields[1], number)
    return listing


def _take(listing: Listing, chosen: np.ndarray) -> Listing:
    taken = Listing()
    for row in np.flatnonzero(chosen):
        taken.add(listing.paths[row], listing.names[row], listing.lines[row])
    return taken


def _unknown(paths: list[str]) -> Images:
    return Images(tuple(paths), np.zeros(len(paths), np.int32), (UNKNOWN,))


def _names_to_answer(base: Path) -> tuple[str, ...]:
    """Returns the files that a submission names, in its order."""
    sample = base / "sample_submission.csv"
    if sample.is_file():
        lines = iterate_csv(sample, read_text(sample, _CONTENT))
        next(lines)
        return tuple(
            clean_path(fields[0], f"{sample}, line {number}")
            for number, fields in lines
        )
    folder = base / "test"
    return tuple(sorted(p.name for p in folder.iterdir())) if folder.is_dir() else ()
