"""What tells whether the images of a run are still those it began with."""

from __future__ import annotations

import base64
import hashlib
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dce_tf.datasets.splits import Images, Splits

Record = dict[str, Any]


def common_folder(splits: Splits) -> Path:
    """Returns the deepest folder that holds every image of a data set."""
    return _folder_of(
        path for images in splits.parts().values() for path in images.paths
    )


def _folder_of(paths: Iterable[str]) -> Path:
    folders = {os.path.split(path)[0] for path in paths}
    return Path(os.path.commonpath([Path(folder).absolute() for folder in folders]))


def relative_paths(paths: Sequence[str], root: Path) -> list[str]:
    """Returns paths as they read from a folder that holds all of them."""
    # Folders are far fewer, and each takes microseconds.
    below: dict[str, str] = {}
    relative = []
    for path in paths:
        folder, name = os.path.split(path)
        if folder not in below:
            inner = os.path.relpath(folder, root)
            below[folder] = "" if inner == "." else f"{inner}/"
        relative.append(f"{below[folder]}{name}")
    return relative


class Home:
    """Where the images of a data set lie, and what they are called wherever that is.

    An image is called by its path below the folder that holds all of them; in a mix
    below the folder that holds all of its source, after the name of that.

    Args:
        splits: The data set.

    Attributes:
        root: The folder that holds every image.
        folders: In a mix, the folder that holds every image of each source.
    """

    def __init__(self, splits: Splits) -> None:
        self.root = common_folder(splits)
        self.folders: dict[str, Path] = {}
        self._names: dict[str, str] = {}
        by_source = splits.paths_by_source() if splits.sources else {}
        for name, own in by_source.items():
            if own:
                folder = _folder_of(own)
                self.folders[name] = folder
                below = relative_paths(own, folder)
                named = [f"{name}/{each}" for each in below]
                self._names |= dict(zip(own, named, strict=True))
        self._paths = {name: path for path, name in self._names.items()}

    def names(self, paths: Sequence[str]) -> list[str]:
        """Returns what images are called."""
        if not self._names:
            return relative_paths(paths, self.root)
        return [
            self._names[path]
            if path in self._names
            else relative_paths([path], self.root)[0]
            for path in paths
        ]

    def path(self, name: str) -> str:
        """Returns where an image lies that is called so."""
        return self._paths.get(name, f"{self.root / name}")


def describe(splits: Splits) -> Record:
    """Returns a digest of each split: of its relative paths and labels, in order.

    Args:
        splits: As a reader gives them: broken images are among them, and no training
            class is held out yet.

    Returns:
        JSON values: `root`, where the images lie, which is no part of a digest, for a
        mix `folders`, where those of each source do, and `splits`, which has by the
        name of each split `images` and `classes`, two counts, `digest`, a SHA-256,
        and `rows`, the CRC-32 of each path and label, which say where two splits
        differ. A label counts with the group and the super-class beside it.
    """
    home = Home(splits)
    parts = splits.parts().items()
    return {
        "root": str(home.root),
        **folders_of(home),
        "splits": {name: _describe(images, home) for name, images in parts},
    }


def folders_of(home: Home) -> Record:
    """Returns what `describe` notes of the sources of a mix; of one alone nothing."""
    folders = {name: str(folder) for name, folder in home.folders.items()}
    return {"folders": folders} if folders else {}


def _describe(images: Images, home: Home) -> Record:
    paths = [name.encode() for name in home.names(images.paths)]
    labels = [label.encode() for label in _labels(images)]
    digest = hashlib.sha256()
    for path, label in zip(paths, labels, strict=True):
        digest.update(path + b"\0" + label + b"\n")
    return {
        "images": len(images),
        "classes": len(np.unique(images.labels)),
        "digest": digest.hexdigest(),
        "rows": {"path": _pack(paths), "label": _pack(labels)},
    }


def _labels(images: Images) -> Iterator[str]:
    columns = [
        numbers.tolist()
        for numbers in (images.groups, images.super_classes)
        if numbers is not None
    ]
    for label, *others in zip(images.labels.tolist(), *columns, strict=True):
        yield "\0".join([images.class_names[label], *map(str, others)])


def _pack(texts: Sequence[bytes]) -> str:
    sums = np.fromiter((zlib.crc32(text) for text in texts), "<u4", len(texts))
    return base64.b64encode(sums.tobytes()).decode()


def _unpack(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(base64.b64decode(text), "<u4")


def differences(before: Mapping[str, Any], splits: Splits) -> list[str]:
    """Says in which splits a data set differs from what `describe` returned.

    Args:
        before: What it returned, of the data then.
        splits: The data now, as a reader gives them.

    Returns:
        For each split that differs the counts then and now, and the first image at
        which it does; empty if the data are the same.
    """
    now, parts, home = describe(splits), splits.parts(), Home(splits)
    texts = []
    for name in dict.fromkeys([*before["splits"], *now["splits"]]):
        then, here = before["splits"].get(name), now["splits"].get(name)
        if then is None:
            texts.append(f"{name}: not there then, {_counts(here)} now")
        elif here is None:
            texts.append(f"{name}: {_counts(then)} then, not there now")
        elif then["digest"] != here["digest"]:
            where = _first_difference(then["rows"], here["rows"], parts[name], home)
            texts.append(f"{name}: {_counts(then)} then, {_counts(here)} now; {where}")
    return texts


def _counts(split: Mapping[str, Any]) -> str:
    return f"{split['images']:,} images of {split['classes']:,} classes"


def _first_difference(
    then: Mapping[str, str], now: Mapping[str, str], images: Images, home: Home
) -> str:
    old, new = (
        [_unpack(rows[key]) for key in ("path", "label")] for rows in (then, now)
    )
    shared = min(len(old[0]), len(new[0]))
    other = [a[:shared] != b[:shared] for a, b in zip(old, new, strict=True)]
    rows = np.flatnonzero(other[0] | other[1])
    row = int(rows[0]) if len(rows) else shared
    if row == len(images):
        return f"what followed row {row - 1} is gone"
    (path,) = home.names([images.paths[row]])
    name = images.class_names[images.labels[row]]
    if row < shared and not other[0][row]:
        return (
            f"the first that differs is row {row}, {path}: its label, now {name!r}, or "
            "its group"
        )
    return f"the first that differs is row {row}, now {path} of {name!r}"
