"""How many pixels an image has, before anybody decodes it."""

from __future__ import annotations

import io

from PIL import Image

from dce_tf.gifs import Extent, gif_extent
from serving.errors import invalid

# How TensorFlow tells the formats apart; PIL, which reads the header, is pickier.
_MAGIC = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG": "PNG",
    b"GIF8": "GIF",
    b"BM": "BMP",
}
_JPEG_XL = (b"\xff\x0a", b"\0\0\0\x0cJXL ")


def check_pixels(data: bytes, most: int) -> None:
    """Refuses an image too large to decode, by what its headers say.

    Args:
        data: An encoded image. What is in none of the formats the models read is left
            to them to refuse.
        most: Pixels it may have.

    Raises:
        ServingError: If it has more, or hides how many it has.
    """
    if data.startswith(_JPEG_XL):
        raise invalid("JPEG XL is not read here. Send JPEG, PNG, GIF, BMP or WebP.")
    kind = _format(data)
    if kind is None:
        return
    try:
        # Not Image.open: that has a limit of its own, which warns.
        size = Image.OPEN[kind][0](io.BytesIO(data), "").size
    except Exception:  # Each plugin has its own errors for what is no header.
        raise invalid(f"The header of a {kind} image cannot be read.") from None
    try:
        extent = gif_extent(data) if kind == "GIF" else Extent.of_still(*size)
    except ValueError as error:
        raise invalid(f"An image that cannot be taken: {error}.") from None
    if extent.pixels > most:
        raise invalid(
            f"An image of {extent}; this server decodes up to {most:,} pixels. "
            "Scale it down."
        )


def _format(data: bytes) -> str | None:
    if data[8:12] == b"WEBP":
        return "WEBP"
    kinds = (kind for magic, kind in _MAGIC.items() if data.startswith(magic))
    return next(kinds, None)


Image.init()  # Fills the table of formats.
