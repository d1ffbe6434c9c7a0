"""GIF files put together from parts, as no ordinary program writes them."""

import io

from PIL import Image

COMMENT = b"!\xfe"  # Blocks follow.
END = b";"


def frame(width: int, height: int) -> bytes:
    """Returns the blocks of one black frame."""
    buffer = io.BytesIO()
    Image.new("P", (width, height)).save(buffer, "GIF")
    whole = buffer.getvalue()
    return whole[len(header(width, height)) : -1]


def header(width: int, height: int) -> bytes:
    """Returns what comes before the first frame: a screen, and a table of colours."""
    sizes = width.to_bytes(2, "little") + height.to_bytes(2, "little")
    return b"GIF89a" + sizes + b"\x80\0\0" + bytes(6)


def spliced(*sizes: tuple[int, int]) -> bytes:
    """Returns a GIF whose header knows of the first frame alone."""
    frames = b"".join(frame(*size) for size in sizes)
    return header(*sizes[0]) + frames + END
