"""Images as PIL opens them, turned upright; `exif` does so in the graph."""

from __future__ import annotations

import struct
import zlib

from PIL import Image

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
_ORIENTATION = 0x0112  # Tag of TIFF 6.0 and EXIF 2.32.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def upright(image: Image.Image) -> Image.Image:
    """Returns an image as its EXIF orientation says that it is to be seen.

    `ImageOps.exif_transpose` writes all the EXIF anew besides, and fails where one tag
    of it is not as it should be.
    """
    turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    return image if turn is None else image.transpose(turn)
