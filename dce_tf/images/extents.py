"""How large an image is and what it takes to decode, by what its file says.

PIL, asked for its size, goes through as many empty chunks as a file has, and takes half
a minute over 64 MB of them; here every step is counted. What decoders take long over
although it adds no pixel counts as pixels: a progressive JPEG is gone over once a scan,
and each compressed text of a PNG unpacked to as much as 8 MB.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

from dce_tf.images.gif import Extent, gif_extent
from dce_tf.images.orientation import BARE, FILL, LAST, MOST_CHUNKS

_MOST_SEGMENTS = 2**11  # 128 MB of a JPEG's, of the usual length.
_MOST_STRAY_BYTES = 2**12  # Between the segments of a JPEG, which decoders pass over.
_SEGMENT_PIXELS = 10_000  # As long as one takes when the orientation is looked for.
_USUAL_SEGMENTS = 64
# A scan takes an eighth of what decoding does; encoders make about ten.
_USUAL_SCANS, _SCANS_PER_IMAGE = 16, 8
_USUAL_TEXTS, _TEXT_PIXELS = 4, 8_000_000
_AT_ONCE = 2**20  # Bytes searched before other threads may run.

_START, _SCAN = 0xD8, 0xDA
# Start of frame: all of C0 to CF but DHT, JPG and DAC (ITU-T T.81, table B.1).
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_FRAME = struct.Struct(">5xHH")  # From its marker on: height, width.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # Within pixels, nothing else is.
_PNG = struct.Struct(">8xI4sII")
_PNG_CHUNK = struct.Struct(">I4s")
_BMP = struct.Struct("<14xIii")
_OLD_BMP = struct.Struct("<14xIHH")
_OLD_BMP_HEADER = 12  # Bytes; of OS/2.


class UnreadableError(ValueError):
    """The header of an image is damaged or cut short."""


def read_extent(data: bytes) -> Extent | None:
    """Returns how large an image is.

    Args:
        data: The file.

    Returns:
        Its extent as it is stored; None if it is no JPEG, PNG, GIF, BMP or WebP.

    Raises:
        UnreadableError: If its header is damaged.
        ValueError: If it is cut into more parts than any ordinary image.
    """
    for name, (place, magic, read) in _KINDS.items():
        if data[place : place + len(magic)] == magic:
            try:
                return read(data)
            except (struct.error, IndexError):
                raise UnreadableError(
                    f"The header of a {name} image cannot be read."
                ) from None
    return None


def _jpeg(data: bytes) -> Extent:
    place, width, height, scans, stray = 2, 0, 0, 0, 0
    for segments in range(_MOST_SEGMENTS):
        if scans:
            place = _behind_scan(data, place)
        else:
            before, place = place, _next_marker(data, place, _MOST_STRAY_BYTES - stray)
            stray += place - before
        marker = data[place + 1] if place < len(data) else LAST[0]
        if marker == LAST[0]:
            if not scans:
                raise IndexError
            return _jpeg_extent(width, height, segments, scans)
        if marker in _FRAMES and not width:
            height, width = _FRAME.unpack_from(data, place)
        scans += marker == _SCAN
        is_bare = marker in BARE
        place += 2 if is_bare else 2 + int.from_bytes(data[place + 2 : place + 4])
    raise ValueError(
        f"a JPEG cut into more than {_MOST_SEGMENTS:,} segments is not decoded; save "
        "it again"
    )


def _jpeg_extent(width: int, height: int, segments: int, scans: int) -> Extent:
    pixels = width * height
    more = max(0, scans - _USUAL_SCANS)
    pixels += pixels * more // _SCANS_PER_IMAGE
    pixels += _SEGMENT_PIXELS * max(0, segments - _USUAL_SEGMENTS)
    is_more = pixels > width * height
    passes = "1 scan" if scans == 1 else f"{scans} scans"
    parts = f"{segments:,} segments and {passes}" if is_more else ""
    return Extent(width, height, 1, pixels, parts)


def _next_marker(data: bytes, place: int, room: int) -> int:
    """Returns where the next marker stands, behind bytes that decoders pass over."""
    end = place + room + 1
    found = data.find(b"\xff", place, end)
    while found >= 0 and found < end and data[found + 1] in (0, FILL):
        found = data.find(b"\xff", found + 1, end)
    if found < 0 and end < len(data):
        raise ValueError(
            f"a JPEG with more than {_MOST_STRAY_BYTES:,} bytes between its segments "
            "is not decoded; save it again"
        )
    return found if found >= 0 else len(data)


def _behind_scan(data: bytes, place: int) -> int:
    """Returns where the next marker stands behind compressed pixels."""
    for start in range(place, len(data), _AT_ONCE):
        found = _MARKER.search(data, start, start + _AT_ONCE + 1)
        if found:
            return found.start()
    return len(data)


def _png(data: bytes) -> Extent:
    length, name, width, height = _PNG.unpack_from(data)
    if (length, name) != (13, b"IHDR"):
        raise IndexError
    place, texts = 8, 0
    for chunks in range(MOST_CHUNKS):
        if place + _PNG_CHUNK.size > len(data) or name == b"IEND":
            return _png_extent(width, height, chunks, texts)
        length, name = _PNG_CHUNK.unpack_from(data, place)
        texts += name in (b"zTXt", b"iTXt")
        place += 12 + length
    raise ValueError(
        f"a PNG cut into more than {MOST_CHUNKS:,} chunks is not decoded; save it again"
    )


def _png_extent(width: int, height: int, chunks: int, texts: int) -> Extent:
    more = max(0, texts - _USUAL_TEXTS)
    pixels = width * height + _TEXT_PIXELS * more
    parts = f"{chunks:,} chunks, {texts:,} of them of text" if more else ""
    return Extent(width, height, 1, pixels, parts)


def _bmp(data: bytes) -> Extent:
    size, width, height = _BMP.unpack_from(data)
    if size == _OLD_BMP_HEADER:
        _, width, height = _OLD_BMP.unpack_from(data)
    return Extent.of_still(abs(width), abs(height))


def _webp(data: bytes) -> Extent:
    kind, body = data[12:16], data[20:30]
    if len(body) < 10:
        raise IndexError
    if kind == b"VP8X":
        sides = (int.from_bytes(body[at : at + 3], "little") + 1 for at in (4, 7))
        return Extent.of_still(*sides)
    if kind == b"VP8L":
        packed = int.from_bytes(body[1:5], "little")
        return Extent.of_still((packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1)
    if kind != b"VP8 ":
        raise IndexError
    sides = (int.from_bytes(body[at : at + 2], "little") & 0x3FFF for at in (6, 8))
    return Extent.of_still(*sides)


# Where the bytes stand by which TensorFlow tells the formats apart.
_KINDS: dict[str, tuple[int, bytes, Callable[[bytes], Extent]]] = {
    "JPEG": (0, b"\xff\xd8\xff", _jpeg),
    "PNG": (0, b"\x89PNG", _png),
    "GIF": (0, b"GIF8", gif_extent),
    "BMP": (0, b"BM", _bmp),
    "WEBP": (8, b"WEBP", _webp),
}
