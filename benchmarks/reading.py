"""Reading the lists of each data set at the size of SOP, and scanning its images.

    python -m benchmarks.reading [--images 120053] [--scanned 2000] [--repeats 3]

The lists are written by `tests/fakes.py`; only the folders are there in full, of empty
files. What is scanned are JPEGs of 256 × 256 pixels.
"""

from __future__ import annotations

import argparse
import functools
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from benchmarks.timing import alternate, print_table
from dce_tf.datasets import DATASETS
from dce_tf.images.scan import find_broken
from tests import fakes

WRITERS: dict[str, Callable[..., Path]] = {
    "csv": fakes.write_csv,
    "folder": fakes.write_folder,
    "sop": fakes.write_sop,
    "inshop": fakes.write_inshop,
    "vid": fakes.write_vid,
    "cub": fakes.write_cub,
    "cars": fakes.write_cars,
    "whale": fakes.write_whale,
}
FIXED_CLASSES = {"cub": 200, "cars": 196}
IMAGES_PER_CLASS = 5


def touch(path: Path, *_: object) -> None:
    """Stands in for the writing of a picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def make_parent(path: Path, *_: object) -> None:
    """Stands in for it where only the list is read."""
    path.parent.mkdir(parents=True, exist_ok=True)


def write_lists(root: Path, dataset: str, num_images: int) -> None:
    """Writes a data set of about this many images, which are not there."""
    root.mkdir()
    stand_in = touch if dataset == "folder" else make_parent
    splits = {"cub": 1, "cars": 1, "inshop": 3}.get(dataset, 2)
    classes = FIXED_CLASSES.get(dataset, num_images // IMAGES_PER_CLASS // splits)
    with mock.patch("tests.fakes.write_image", stand_in):
        WRITERS[dataset](root, classes, num_images // classes // splits)


def read(root: Path, dataset: str) -> None:
    """Reads it."""
    known = {} if dataset in ("csv", "folder") else {"allow_partial_data": True}
    DATASETS.build(dataset, data_dir=str(root), **known)


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=120_053)
    parser.add_argument("--scanned", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for dataset in WRITERS:
            write_lists(Path(folder, dataset), dataset, args.images)
        parts = {
            dataset: functools.partial(read, Path(folder, dataset), dataset)
            for dataset in WRITERS
        }
        title = f"Reading the lists of {args.images:,} images"
        print_table(title, alternate(parts, args.repeats))
        root = fakes.write_folder(Path(folder, "jpeg"), args.scanned // 20, 10, 256)
        paths = [str(path) for path in root.rglob("*.jpg")]
        scans = {
            f"threads: {threads}": functools.partial(
                find_broken, paths, max_pixels=10**8, num_workers=threads
            )
            for threads in (1, os.cpu_count() or 1)
        }
        title = f"Scanning {len(paths):,} JPEGs of 256 × 256"
        print_table(title, alternate(scans, args.repeats))


if __name__ == "__main__":
    main()
