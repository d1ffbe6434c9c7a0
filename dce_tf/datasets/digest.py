"""What tells whether the images of a run are still those it began with."""

from __future__ import annotations

import base64
import hashlib
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dce_tf.datasets.splits import Images, Splits

Record = dict[str, Any]


def common_folder(splits: Splits) -> Path:
    """Returns the deepest folder that holds every image of a data set."""
    folders = {
        os.path.split(path)[0]
        for images in splits.parts().values()
        for path in images.paths
    }
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


def describe(splits: Splits) -> Record:
    """Returns a digest of each split: of its relative paths and labels, in order.

    Args:
        splits: As a reader gives them: broken images are among them, and no training
            class is held out yet.

    Returns:
        JSON values: `root`, where the images lie, which is no part of a digest, and by
        the name of each split `images` and `classes`, two counts, `digest`, a SHA-256,
        and `rows`, the CRC-32 of each path and label, which say where two splits
        differ. A label counts with the group and the super-class beside it.
    """
    root = common_folder(splits)
    return {
        "root": str(root),
        "splits": {
            name: _describe(images, root) for name, images in splits.parts().items()
        },
    }


def _describe(images: Images, root: Path) -> Record:
    paths = [path.encode() for path in relative_paths(images.paths, root)]
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
    now, parts = describe(splits), splits.parts()
    root = Path(now["root"])
    texts = []
    for name in dict.fromkeys([*before["splits"], *now["splits"]]):
        then, here = before["splits"].get(name), now["splits"].get(name)
        if then is None:
            texts.append(f"{name}: not there then, {_counts(here)} now")
        elif here is None:
            texts.append(f"{name}: {_counts(then)} then, not there now")
        elif then["digest"] != here["digest"]:
            where = _first_difference(then["rows"], here["rows"], parts[name], root)
            texts.append(f"{name}: {_counts(then)} then, {_counts(here)} now; {where}")
    return texts


def _counts(split: Mapping[str, Any]) -> str:
    return f"{split['images']:,} images of {split['classes']:,} classes"


def _first_difference(
    then: Mapping[str, str], now: Mapping[str, str], images: Images, root: Path
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
    (path,) = relative_paths([images.paths[row]], root)
    name = images.class_names[images.labels[row]]
    if row < shared and not other[0][row]:
        return (
            f"the first that differs is row {row}, {path}: its label, now {name!r}, or "
            "its group"
        )
    return f"the first that differs is row {row}, now {path} of {name!r}"
