"""Images as the network sees them, read by PIL: for people to look at."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageFile

from dce_tf.images.orientation import read_orientation

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")
"""What TensorFlow reads. PIL has forty more, some of which start other programs."""

# What PIL raises on damaged files; its plugins have no error in common.
UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    SyntaxError,
    EOFError,
    LookupError,
    OverflowError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def open_image(source: str | Path | BinaryIO) -> Image.Image:
    """Opens an image, if it is one of `FORMATS`.

    A JPEG of several views has the format `MPO` then.

    Args:
        source: The file, or an open one.

    Raises:
        PIL.UnidentifiedImageError: If it is none of them.
        Exception: Any of `UNREADABLE`, if it is damaged.
    """
    return Image.open(source, formats=FORMATS)


def other_format(head: bytes) -> str | None:
    """Returns which format a file is in that is not opened here, without opening it.

    Args:
        head: How the file begins, at least 16 bytes of it.

    Returns:
        Its name, such as `TIFF`; None if it is no image that PIL knows.
    """
    Image.init()  # Fills the table of formats.
    for name, (_, accept) in Image.OPEN.items():
        if name in FORMATS or accept is None:
            continue
        with contextlib.suppress(*UNREADABLE):
            if accept(head[:16]) is True:
                return name
    return None


def read_upright(
    source: str | Path | bytes | BinaryIO,
    *,
    side: int | None = None,
    most_pixels: int | None = None,
) -> Image.Image:
    """Reads an image as `preprocessing.decode` does: in RGB, upright, without alpha.

    Args:
        source: The image file, what is in it, or an open one.
        side: Of a JPEG no more need be decoded than a picture of such a side has.
        most_pixels: An image of more is not decoded.

    Returns:
        The image, in mode `RGB`.

    Raises:
        ValueError: If it has too many pixels.
        Exception: Any of `UNREADABLE`.
    """
    with opened(source) as file:
        with open_image(file) as image:
            pixels = image.width * image.height
            if most_pixels is not None and pixels > most_pixels:
                raise ValueError(f"{pixels} pixels are more than {most_pixels}.")
            if side is not None:
                image.draft("RGB", (side, side))
            picture = _flattened(image)
        turn = _TURNS.get(read_orientation(file))
    return picture if turn is None else picture.transpose(turn)


def opened(
    source: str | Path | bytes | BinaryIO,
) -> contextlib.AbstractContextManager[BinaryIO]:
    """Opens a file, or what is in one; one that is open stays open in the end."""
    if isinstance(source, bytes):
        return io.BytesIO(source)
    if isinstance(source, str | Path):
        return Path(source).open("rb")
    return contextlib.nullcontext(source)


def _flattened(image: Image.Image) -> Image.Image:
    """Returns the pixels in RGB as TensorFlow decodes them."""
    if isinstance(image, ImageFile.ImageFile) and image.format == "GIF":
        return _first_frame(image)
    if image.mode.startswith("I"):  # PIL would cut off 16 bits at 255.
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode == "P":  # PIL warns of some palettes with alpha.
        return image.convert("RGBA").convert("RGB")
    return image.convert("RGB")


def _first_frame(image: ImageFile.ImageFile) -> Image.Image:
    """Returns the first frame of a GIF, black where it is transparent or not at all."""
    box = image.tile[0].extents
    frame = image.convert("RGBA").crop(box)
    screen = Image.new("RGB", image.size)
    screen.paste(frame, box, frame.getchannel("A"))
    return screen
