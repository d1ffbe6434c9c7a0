"""How many pixels an image has, before anybody decodes it."""

from __future__ import annotations

from dce_tf.images.extents import UnreadableError, read_extent
from dce_tf.images.file_kinds import HEAD_BYTES, advice, unread_kind
from dce_tf.serving.errors import invalid


def count_pixels(data: bytes, most: int) -> int:
    """Counts the pixels of an image, and refuses one too large to decode.

    Args:
        data: An encoded image. What is in none of the formats the models read is left
            to them to refuse.
        most: Pixels it may have.

    Returns:
        How many a plain image has that takes as much to decode; 0 for no image.

    Raises:
        ServingError: If it has more, or hides how many it has.
    """
    unread = unread_kind(data[:HEAD_BYTES])
    if unread is not None:
        raise invalid(f"{advice(unread)}.")
    try:
        extent = read_extent(data)
    except UnreadableError as error:
        raise invalid(str(error)) from None
    except ValueError as error:
        raise invalid(f"An image that cannot be taken: {error}.") from None
    if extent is None:
        return 0
    if extent.pixels > most:
        raise invalid(
            f"An image of {extent}; this server decodes up to {most:,} pixels "
            "(--max_image_pixels). Scale it down."
        )
    return extent.pixels
