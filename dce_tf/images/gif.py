"""How much a GIF takes to decode, read off its blocks.

TensorFlow decodes all frames, a byte a pixel, though it returns the first alone, and
makes that as large as the largest of them: the header tells neither.
"""

from __future__ import annotations

import contextlib
import dataclasses
import struct
from collections.abc import Iterator

_HEADER_BYTES = 13
_SCREEN = struct.Struct("<6xHHB")
_IMAGE = 0x2C
_DESCRIPTOR = struct.Struct("<xHHHHB")  # From the byte _IMAGE on.
_EXTENSION = 0x21
# 64 MB in blocks of 255 bytes, as they usually are; the decoder's memory and the time
# spent here grow with their number, not their length.
_MOST_BLOCKS = 2**18


@dataclasses.dataclass(frozen=True)
class Extent:
    """How large an image is.

    Attributes:
        width: In pixels; of a GIF as far as any frame reaches.
        height: In the same way.
        frames: How many there are.
        pixels: How many a plain image has that takes as much to decode.
        parts: What else there is that takes long; empty where that is little.
    """

    width: int
    height: int
    frames: int
    pixels: int
    parts: str = ""

    @classmethod
    def of_still(cls, width: int, height: int) -> Extent:
        """Returns the extent of an image of one frame."""
        return cls(width, height, 1, width * height)

    def __str__(self) -> str:
        size = f"{self.width} × {self.height} pixels"
        parts = self.parts or (f"{self.frames} frames" if self.frames > 1 else "")
        return f"{size} in {parts}" if parts else size


def gif_extent(data: bytes) -> Extent:
    """Returns how large a GIF is, as far as its blocks can be followed.

    Args:
        data: The file. What there is before it breaks off counts; whether that can be
            decoded is for the decoder to say.

    Raises:
        ValueError: If it is cut into more blocks than any ordinary GIF.
    """
    frames = stored = right = bottom = 0
    with contextlib.suppress(struct.error):
        right, bottom, _ = _SCREEN.unpack_from(data)
    for left, top, width, height in _frames(data):
        right, bottom = max(right, left + width), max(bottom, top + height)
        frames += 1
        stored += width * height
    # A byte a pixel of every frame, and three of what is returned.
    return Extent(right, bottom, frames, -(-(3 * right * bottom + stored) // 4))


def _frames(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yields left, top, width and height of each frame."""
    blocks = 0
    with contextlib.suppress(IndexError, struct.error):  # Here it was cut short.
        place = _HEADER_BYTES + _table_bytes(_SCREEN.unpack_from(data)[2])
        while data[place] in (_IMAGE, _EXTENSION):
            if data[place] == _IMAGE:
                *box, flags = _DESCRIPTOR.unpack_from(data, place)
                left, top, width, height = box
                yield left, top, width, height
                # One more byte says how its codes begin.
                place += _DESCRIPTOR.size + _table_bytes(flags) + 1
            else:
                place += 2
                # The decoder reads on behind the first block, be it empty or not.
                place += 1 + data[place]
            length = -1
            while length:
                length = data[place]
                place += 1 + length
                blocks += 1
                if blocks > _MOST_BLOCKS:
                    raise ValueError(
                        f"a GIF cut into more than {_MOST_BLOCKS:,} blocks is not "
                        "decoded; save it again"
                    )


def _table_bytes(flags: int) -> int:
    """Returns how long the colour table is that the flags announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0
