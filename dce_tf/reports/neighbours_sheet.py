"""A sheet of hard queries with their nearest neighbours, before and after training."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dce_tf.reports.picture_sheet import PictureSheet
from dce_tf.reports.thumbnails import read_thumbnail

THUMBNAIL = 96
RIGHT: tuple[str, Any, str] = ("#009E73", "solid", "✓")
WRONG: tuple[str, Any, str] = ("#D55E00", (0, (3, 2)), "✗")
_STEP, _GAP = 1.12, 0.25


@dataclasses.dataclass(frozen=True, eq=False)
class Neighbours:
    """What some queries found.

    Attributes:
        query_paths: Image files of the queries.
        neighbour_paths: For each query its nearest images, nearest first.
        right: Whether each is of the query's class, bool `(num_queries, k)`.
    """

    query_paths: tuple[str, ...]
    neighbour_paths: tuple[tuple[str, ...], ...]
    right: npt.NDArray[np.bool_]


def plot_neighbours(
    before: Neighbours, after: Neighbours, path: Path
) -> npt.NDArray[np.uint8]:
    """Draws each query, what it found before training, and what after.

    Right ones have a solid green frame and ✓, wrong ones a dashed orange one and ✗.

    Args:
        before: What the queries found untrained.
        after: What the same queries found in the end.
        path: Where to write the PNG.

    Returns:
        The picture, uint8 `(height, width, 3)`.
    """
    k = after.right.shape[1]
    number = len(after.query_paths)
    starts = {1: _STEP + _GAP, 1 + k: _STEP * (1 + k) + 2 * _GAP}
    lefts = [
        0.0,
        *(left + _STEP * place for left in starts.values() for place in range(k)),
    ]
    sheet = PictureSheet(lefts, number, _STEP, heading=0.35, side=0.78)
    titles = {0: "hard queries", 1: "before training", 1 + k: "after"}
    for column, title in titles.items():
        sheet.write_above(0, column, title, 9, "left")
    for row in range(number):
        query = read_thumbnail(after.query_paths[row], THUMBNAIL)
        sheet.show(row, 0, query, "#444444")
        for start, found in zip(starts, (before, after), strict=True):
            for place, path_found in enumerate(found.neighbour_paths[row]):
                right = bool(found.right[row, place])
                frame, style, sign = RIGHT if right else WRONG
                picture = read_thumbnail(path_found, THUMBNAIL)
                sheet.show(row, start + place, picture, frame, style)
                sheet.mark(row, start + place, sign, frame)
    return sheet.save(path)
