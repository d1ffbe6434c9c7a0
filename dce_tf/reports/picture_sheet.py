"""Square pictures in rows and columns, in one axes, as many axes take seconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.patches import Rectangle

from dce_tf.reports.figures import new_figure, save
from dce_tf.reports.thumbnails import Picture

_MARGIN = 0.06
_ABOVE = 0.06  # From a picture to the words over it.


class PictureSheet:
    """A figure of pictures. Lengths are in sides of a picture, but for `side`.

    Args:
        lefts: Left edge of each column, the first of which is 0.
        num_rows: How many rows there are.
        row_height: From one row to the next.
        heading: Room for words above the first row.
        side: Of a picture, in inches.
    """

    def __init__(
        self,
        lefts: Sequence[float],
        num_rows: int,
        row_height: float,
        heading: float,
        side: float,
    ) -> None:
        self._lefts = lefts
        self._row_height = row_height
        right = lefts[-1] + 1 + _MARGIN
        bottom = (num_rows - 1) * row_height + 1 + _MARGIN
        width, height = right + _MARGIN, bottom + heading
        self._figure = new_figure(side * width, side * height, arranged=False)
        self._axes: Any = self._figure.add_axes((0, 0, 1, 1))
        self._axes.set_axis_off()
        self._limits = (-_MARGIN, right), (bottom, -heading)

    def show(
        self, row: int, column: int, picture: Picture, frame: str, style: Any = "solid"
    ) -> None:
        """Shows a picture in a frame.

        Args:
            row: Where.
            column: Where.
            picture: uint8 `(size, size, 3)`.
            frame: Colour of the frame.
            style: Its line, as matplotlib says it.
        """
        left, top = self._lefts[column], row * self._row_height
        self._axes.imshow(picture, extent=(left, left + 1, top + 1, top))
        self._axes.add_patch(
            Rectangle((left, top), 1, 1, fill=False, ec=frame, lw=2.5, ls=style)
        )

    def mark(self, row: int, column: int, sign: str, colour: str) -> None:
        """Writes a sign into a picture's lower right corner."""
        self._axes.text(
            self._lefts[column] + 0.94,
            row * self._row_height + 0.92,
            sign,
            ha="right",
            va="bottom",
            fontsize=8,
            color="white",
            bbox={"boxstyle": "round,pad=0.15", "fc": colour, "ec": "none"},
        )

    def write_above(
        self, row: int, column: int, text: str, size: float, align: str = "center"
    ) -> None:
        """Writes something above a picture.

        Args:
            row: Of the picture.
            column: Of the picture.
            text: In one line or more.
            size: Of the letters, in points.
            align: "center", or "left" for what may be wider.
        """
        left = self._lefts[column] + (0.5 if align == "center" else 0)
        top = row * self._row_height - _ABOVE
        self._axes.text(left, top, text, ha=align, va="bottom", fontsize=size)

    def save(self, path: Path) -> npt.NDArray[np.uint8]:
        """Writes the sheet as PNG.

        Returns:
            Its pixels, uint8 `(height, width, 3)`.
        """
        across, down = self._limits
        self._axes.set(xlim=across, ylim=down, aspect="equal")
        return save(self._figure, path)
