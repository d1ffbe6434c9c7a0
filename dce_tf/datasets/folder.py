"""Anybody's own data, as folders: `train/CLASS/*.jpg`, `test/CLASS/*.jpg`."""

from __future__ import annotations

import collections
import os
from collections.abc import Iterator
from pathlib import Path

from dce_tf.datasets import DATASETS
from dce_tf.datasets.checks import SPLITS, build_splits
from dce_tf.datasets.listing import Listing, require_data_dir
from dce_tf.datasets.splits import Splits

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp"})

_CONTENT = "a folder with train/CLASS/ and test/CLASS/ (or query/ and gallery/)"


@DATASETS.register("folder")
def read_folder(data_dir: str | None) -> Splits:
    """Reads a folder a split, in it a folder a class, in it images at any depth.

    Args:
        data_dir: The folder that holds `train/`, perhaps `val/`, and either `test/`
            or both `query/` and `gallery/`. Hidden files are passed over.

    Raises:
        UsageError: If `data_dir` is not given.
        ValueError: If it is not laid out so, or its splits do not fit.
    """
    root = require_data_dir(data_dir, "folder", _CONTENT)
    present = _visible_folders(root) if root.is_dir() else []
    if not any(folder.name in SPLITS for folder in present):
        has = ", ".join(folder.name for folder in present[:5]) or "no folders"
        raise ValueError(
            f"{root}: found {has}; expected {_CONTENT}. Correct --data_dir or "
            "make them."
        )
    passed: collections.Counter[str] = collections.Counter()
    empty: list[str] = []
    listings = {
        folder.name: _list_split(folder, passed, empty)
        for folder in present
        if folder.name in SPLITS
    }
    return build_splits(root, listings, warnings=_describe(root, passed, empty))


def _list_split(
    folder: Path, passed: collections.Counter[str], empty: list[str]
) -> Listing:
    """Lists one split; counts other files in `passed` and empty classes in `empty`."""
    loose = [path.name for path in sorted(folder.iterdir()) if _is_image(path.name)]
    if loose:
        raise ValueError(
            f"{folder / loose[0]}: found an image directly in {folder.name}/ "
            f"({len(loose)} such); expected {folder.name}/CLASS/{loose[0]}. Move it "
            "into the folder of its class."
        )
    classes = _visible_folders(folder)
    if not classes:
        raise ValueError(
            f"{folder}: found no class folders; expected {folder.name}/CLASS/*.jpg. "
            "Add images, a folder a class, or remove the folder."
        )
    listing = Listing()
    for class_folder in classes:
        files = list(_visible_files(class_folder))
        images = [file for file in files if _is_image(file)]
        passed.update(
            Path(file).suffix.lower() for file in files if not _is_image(file)
        )
        listing.paths += images
        listing.names += [class_folder.name] * len(images)
        if not images:
            empty.append(str(class_folder))
    if not len(listing):
        raise ValueError(
            f"{folder}: found {len(classes)} class folders without an image; expected "
            f"files that end in {', '.join(sorted(EXTENSIONS))}. Add or convert them."
        )
    return listing


def _visible_folders(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_dir() and not path.name.startswith(".")
    )


def _visible_files(folder: Path) -> Iterator[str]:
    """Yields every file below `folder` that is not hidden, in sorted order."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (f"{parent}/{f}" for f in sorted(files) if not f.startswith("."))


def _is_image(name: str) -> bool:
    path = Path(name)
    return path.suffix.lower() in EXTENSIONS and not path.name.startswith(".")


def _describe(
    root: Path, passed: collections.Counter[str], empty: list[str]
) -> tuple[str, ...]:
    notes = []
    if passed:
        kinds = ", ".join(f"{n} {kind or 'bare'}" for kind, n in sorted(passed.items()))
        notes.append(f"{root}: passed over files that are no known images: {kinds}.")
    if empty:
        notes.append(f"{len(empty)} class folders hold no image, e.g. {empty[0]}.")
    return tuple(notes)
