"""Small JPEGs of the images of a collection."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from dce_tf.upright import UNREADABLE, upright

SIDE = 256  # Pixels of the longer side.
MOST_PIXELS = 100_000_000  # Of an image that is opened at all.
_QUALITY = 85


def make_thumbnail(image: Path | bytes) -> bytes | None:
    """Returns a small JPEG of an image, upright.

    Args:
        image: The file, or what is in it.

    Returns:
        The JPEG; None if the image cannot be read.
    """
    source = io.BytesIO(image) if isinstance(image, bytes) else image
    try:
        with Image.open(source) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                return None
            opened.draft("RGB", (SIDE, SIDE))  # Decodes a JPEG at the size it needs.
            picture = upright(opened).convert("RGB")
    except UNREADABLE:
        return None
    picture.thumbnail((SIDE, SIDE))
    encoded = io.BytesIO()
    picture.save(encoded, "JPEG", quality=_QUALITY)
    return encoded.getvalue()
