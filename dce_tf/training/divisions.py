"""The files of divisions: which image was in which cluster, and how that came about."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from dce_tf.base.files import replacing
from dce_tf.clustering import Division


def save_division(division: Division, path: Path) -> None:
    """Writes a division as NPZ, atomically; how long it took is no part of it."""
    with replacing(path) as temporary:
        np.savez_compressed(temporary, **arrays_of(division))


def arrays_of(division: Division) -> dict[str, Any]:
    """Returns what is stored of a division, by name."""
    return {
        key: value
        for key, value in vars(division).items()
        if value is not None and key != "kmeans_seconds"
    }


def load_division(file: Path | BinaryIO) -> Division:
    """Reads what `save_division` wrote."""
    with np.load(file, allow_pickle=False) as stored:
        values = {key: stored[key] for key in stored.files}
    scalars = {key: value.item() for key, value in values.items() if value.ndim == 0}
    return Division(**{**values, **scalars})


def keep_rows(
    folder: Path, rows: npt.NDArray[np.int64], labels: npt.NDArray[np.int32]
) -> None:
    """Rewrites stored divisions for the images that are left.

    Args:
        folder: Where they are stored. Those that are of as many images already stay as
            they are, so that it can be done again where it was cut short.
        rows: Which images of each division are left, rising.
        labels: Their classes, int32 `(num_rows,)`.
    """
    for path in sorted(folder.glob("epoch-*.npz")):
        division = load_division(path)
        if len(division.membership) != len(rows):
            # Of other images, and perhaps of other classes: they are made again. Gone
            # before the division tells that this was done.
            for means in folder.glob("means-*.npy"):
                means.unlink()
            save_division(division.of_rows(rows, labels), path)


def epoch_of(path: Path) -> int:
    """Returns the epoch that began with a stored division."""
    return int(path.stem.partition("-")[2])
