"""Anybody's own data, as folders: `train/CLASS/*.jpg`, `test/CLASS/*.jpg`."""

from __future__ import annotations

import collections
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dce_tf.base.errors import UsageError
from dce_tf.datasets import DATASETS
from dce_tf.datasets.checks import SPLITS, build_splits
from dce_tf.datasets.listing import Listing, require_data_dir
from dce_tf.datasets.splits import Splits
from dce_tf.images.file_kinds import EXTENSIONS, OTHER_EXTENSIONS, READ

_CONTENT = "a folder with train/CLASS/ and test/CLASS/ (or query/ and gallery/)"
_WHOLE = "a folder with CLASS/, one for each class"
_FEWEST = 2  # Classes on either side, or nothing can be told apart.


@DATASETS.register("folder")
def read_folder(data_dir: str | None, test_fraction: float | None = None) -> Splits:
    """Reads a folder per split, with a folder per class, with images at any depth.

    Args:
        data_dir: The folder that holds `train/`, perhaps `val/`, and either `test/`
            or both `query/` and `gallery/`. Hidden files are passed over.
        test_fraction: Read one folder per class instead, and test on this share of the
            classes that have two images or more, in (0, 1). A class stays on its side
            whichever others come or go, but for those at the border.

    Raises:
        UsageError: If `data_dir` is not given, or `test_fraction` is no such share.
        ValueError: If it is not laid out so, or its splits do not fit.
    """
    if test_fraction is not None:
        _check_share(test_fraction)
    content = _CONTENT if test_fraction is None else _WHOLE
    root = require_data_dir(data_dir, "folder", content)
    present = _visible_folders(root) if root.is_dir() else []
    if (splits_there := holds_splits(root)) == (test_fraction is not None):
        raise ValueError(_other_layout(root, present, splits_there))
    passed: collections.Counter[str] = collections.Counter()
    empty: list[str] = []
    if test_fraction is not None:
        listings = _deal_out(root, _list_split(root, passed, empty), test_fraction)
    else:
        listings = {
            folder.name: _list_split(folder, passed, empty)
            for folder in present
            if folder.name in SPLITS
        }
    return build_splits(root, listings, warnings=_describe(root, passed, empty))


def holds_splits(root: Path) -> bool:
    """Returns whether a folder holds splits, such as `train/`, and not classes."""
    present = _visible_folders(root) if root.is_dir() else []
    return any(folder.name in SPLITS for folder in present)


def _other_layout(root: Path, present: list[Path], splits_there: bool) -> str:
    """Says that a folder is not laid out as it is to be read."""
    has = ", ".join(folder.name for folder in present[:5]) or "no folders"
    if splits_there:
        return (
            f"{root}: found {has}; expected {_WHOLE}, as test_fraction asks for. Leave "
            "test_fraction out: these are splits."
        )
    remedy = "Correct --data_dir or make them."
    if present:
        remedy += (
            " If those are classes, pass --dataset='folder(test_fraction=0.2)', which "
            "puts a fifth of them into the test."
        )
    return f"{root}: found {has}; expected {_CONTENT}. {remedy}"


def _check_share(test_fraction: Any) -> None:
    if not isinstance(test_fraction, float) or not 0 < test_fraction < 1:
        raise UsageError(
            f"folder(test_fraction={test_fraction!r}): expected a share in (0, 1), "
            "such as 0.2."
        )


def _deal_out(root: Path, images: Listing, test_fraction: float) -> dict[str, Listing]:
    """Puts whole classes into `test`; the others, and lone images, are `train`."""
    sizes = collections.Counter(images.names)
    names = [name for name, size in sizes.items() if size > 1]
    if len(names) < 2 * _FEWEST:
        raise ValueError(
            f"{root}: found {len(sizes)} classes, {len(names)} of them with two images "
            f"or more; expected {2 * _FEWEST} such, {_FEWEST} to train on and "
            f"{_FEWEST} to test with. Add images, a folder for each class."
        )
    names.sort(key=lambda name: hashlib.sha256(name.encode()).digest())
    count = max(_FEWEST, round(test_fraction * len(names)))
    test = set(names[: min(count, len(names) - _FEWEST)])
    listings = {"train": Listing(), "test": Listing()}
    for path, name in zip(images.paths, images.names, strict=True):
        listing = listings["test" if name in test else "train"]
        listing.paths.append(path)
        listing.names.append(name)
    return listings


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
            "Add images in one folder per class, or remove the folder."
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
        note = f"{root}: passed over files that are no known images: {kinds}."
        if OTHER_EXTENSIONS & passed.keys():
            note += f" Convert those to be used to {READ}."
        notes.append(note)
    if empty:
        notes.append(f"{len(empty)} class folders hold no image, e.g. {empty[0]}.")
    return tuple(notes)
