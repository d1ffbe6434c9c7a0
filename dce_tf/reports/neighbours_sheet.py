"""A sheet of queries with their nearest neighbours, before and after training."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dce_tf.reports.figures import new_figure, save, show_picture
from dce_tf.reports.thumbnails import read_thumbnail

THUMBNAIL = 96
RIGHT, WRONG = "#009E73", "#D55E00"


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
    figure = new_figure(0.85 * (2 * k + 2), 0.95 * number + 0.6)
    widths = [1, 0.25, *[1] * k, 0.25, *[1] * k]
    grid = figure.add_gridspec(number, len(widths), width_ratios=widths)
    for row in range(number):
        tile = figure.add_subplot(grid[row, 0])
        _show(tile, after.query_paths[row], "#444444", "solid")
        if not row:
            tile.set_title("query", fontsize=9)
        for start, title, found in (
            (2, "before training", before),
            (3 + k, "after", after),
        ):
            for place, neighbour in enumerate(found.neighbour_paths[row]):
                tile = figure.add_subplot(grid[row, start + place])
                right = bool(found.right[row, place])
                _show(
                    tile,
                    neighbour,
                    RIGHT if right else WRONG,
                    "solid" if right else (0, (3, 2)),
                )
                _mark(tile, right)
                if not row and not place:
                    tile.set_title(title, fontsize=9, loc="left")
    return save(figure, path)


def _show(tile: Any, path: str, frame: str, style: Any) -> None:
    show_picture(tile, read_thumbnail(path, THUMBNAIL), frame, style)


def _mark(tile: Any, right: bool) -> None:
    tile.text(
        0.96,
        0.05,
        "✓" if right else "✗",
        transform=tile.transAxes,
        ha="right",
        va="bottom",
        fontsize=8,
        color="white",
        bbox={
            "boxstyle": "round,pad=0.15",
            "fc": RIGHT if right else WRONG,
            "ec": "none",
        },
    )
