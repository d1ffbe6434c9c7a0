"""Small JPEGs of the images of a collection."""

from __future__ import annotations

import io
from pathlib import Path

from dce_tf.images.pillow import UNREADABLE, read_upright

SIDE = 256  # Pixels of the longer side.
TO_EMBED = 1024  # The same, where a model shall see it.
MOST_PIXELS = 100_000_000  # Of an image that is opened at all.
QUALITY = 85


def make_thumbnail(
    image: str | Path | bytes, side: int = SIDE, quality: int = QUALITY
) -> bytes | None:
    """Returns a small JPEG of an image, as the network sees it.

    Args:
        image: The file, or what is in it.
        side: Pixels that the longer side may have.
        quality: Of the JPEG, 1 to 95.

    Returns:
        The JPEG; None if the image cannot be read.
    """
    try:
        picture = read_upright(image, side=side, most_pixels=MOST_PIXELS)
    except UNREADABLE:
        return None
    picture.thumbnail((side, side))
    encoded = io.BytesIO()
    picture.save(encoded, "JPEG", quality=quality)
    return encoded.getvalue()


def thumbnail_below(root: str | Path, path: str, side: int = SIDE) -> bytes | None:
    """Returns a small JPEG of an image of a folder.

    Args:
        root: The folder.
        path: Where the image lies in it.
        side: Pixels that the longer side may have.

    Returns:
        The JPEG; None if there is no image that can be read, or it lies outside: a
        symbolic link, or a record that somebody has edited, may point anywhere.
    """
    try:
        folder = Path(root).resolve()
        image = Path(folder, path).resolve(strict=True)
    except (OSError, ValueError, RuntimeError):
        return None
    if not image.is_relative_to(folder) or not image.is_file():
        return None
    return make_thumbnail(image, side)
