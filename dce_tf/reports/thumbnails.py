"""Small pictures of images, for sheets and the projector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageOps

from dce_tf.images.pillow import UNREADABLE, read_upright

Picture = npt.NDArray[np.uint8]


def read_thumbnail(path: str | BinaryIO, size: int) -> Picture:
    """Reads an image, scaled and cropped to a square.

    Args:
        path: The image file, or an open one.
        size: Side of the square in pixels.

    Returns:
        uint8 `(size, size, 3)`; a crossed-out tile if the file cannot be read.
    """
    try:
        picture = ImageOps.fit(read_upright(path), (size, size))
    except UNREADABLE:
        picture = Image.new("RGB", (size, size), (190, 190, 190))
        draw = ImageDraw.Draw(picture)
        draw.line((0, 0, size, size), (90, 90, 90), 2)
        draw.line((0, size, size, 0), (90, 90, 90), 2)
    return np.asarray(picture)


def sprite(pictures: Sequence[Picture] | Picture) -> Picture:
    """Joins square pictures of one size row by row into a square sheet.

    Args:
        pictures: uint8, each `(size, size, 3)`.

    Returns:
        uint8 `(n · size, n · size, 3)`, n the smallest number with n² ≥ their number.
    """
    size = pictures[0].shape[0]
    per_row = int(np.ceil(np.sqrt(len(pictures))))
    sheet = np.zeros((per_row, per_row, size, size, 3), np.uint8)
    for place, picture in enumerate(pictures):
        sheet[place // per_row, place % per_row] = picture
    return sheet.transpose(0, 2, 1, 3, 4).reshape(per_row * size, per_row * size, 3)
