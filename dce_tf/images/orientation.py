"""The EXIF orientation of a JPEG, PNG or WebP file; `exif` reads it in the graph.

A JPEG has it in the first APP1 segment that begins with `Exif`, wherever that stands
before the picture; a PNG in its `eXIf` chunk, before or behind the picture; a WebP in
its `EXIF` chunk, if its header announces one. There is a TIFF file without a picture,
whose first directory has the tag. Orientations elsewhere (XMP, text chunks of a PNG)
are passed over, as browsers do.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import BinaryIO, Literal

JPEG = b"\xff\xd8\xff"
PNG = b"\x89PNG\r\n\x1a\n"
WEBP = b"WEBPVP8X"  # From byte 8 on; other WebP files hold a picture alone.
WEBP_FLAGS = 20
WEBP_HAS_EXIF = 0x08

# Markers of ITU-T T.81, table B.1: those that stand bare, without a length, and those
# behind which nothing is looked at, the end of the image and the start of its pixels.
FILL, APP1 = 0xFF, 0xE1
BARE = (0x01, *range(0xD0, 0xD9))
LAST = (0xD9, 0xDA)

STARTS = (2, 8, 12)  # Of the first chunk in JPEG, PNG and WebP.
HEAD_BYTES = 10  # Of a JPEG's segment up to what it is, more than of other chunks.
LEAST_CHUNK = 4  # Bytes: none that could be EXIF is shorter.
MOST_CHUNKS = 1 << 14  # That are looked at: 128 MB of a PNG cut up as usual.

BEFORE_TIFF = b"Exif\0\0"
CHUNK_NAMES = (b"eXIf", b"EXIF")  # In PNG, in WebP.
LITTLE, BIG = b"II*\0", b"MM\0*"
TAG = 0x0112  # Of TIFF 6.0 and EXIF 2.32.
SHORT, LONG = 3, 4
MOST_ENTRIES = 256
_ENTRY_BYTES = 12

# Where the next chunk begins, and from where to where EXIF stands; -1 for nowhere.
_Step = tuple[int, int, int]


def read_orientation(file: BinaryIO | bytes) -> int:
    """Returns the EXIF orientation of an image file, 1 to 8.

    Args:
        file: What is in it, or the file itself, which is read from its beginning.

    Returns:
        1, upright, for a file that has none.
    """
    file = io.BytesIO(file) if isinstance(file, bytes) else file
    head = _bytes_at(file, 0, WEBP_FLAGS + 1)
    if head.startswith(JPEG):
        return _walk(file, STARTS[0], _jpeg_step)
    if head.startswith(PNG):
        return _walk(file, STARTS[1], _png_step)
    has_exif = head[WEBP_FLAGS] & WEBP_HAS_EXIF
    if head.startswith(b"RIFF") and head[8:16] == WEBP and has_exif:
        return _walk(file, STARTS[2], _webp_step)
    return 1


def _bytes_at(file: BinaryIO, place: int, count: int) -> bytes:
    """Returns bytes, zeros behind the end of the file."""
    file.seek(place)
    return file.read(count).ljust(count, b"\0")


def _walk(file: BinaryIO, place: int, step: Callable[[int, bytes], _Step]) -> int:
    end = file.seek(0, io.SEEK_END)
    first = last = -1
    for _ in range(MOST_CHUNKS):
        if first >= 0 or place < 0 or place + LEAST_CHUNK > end:
            break
        place, first, last = step(place, _bytes_at(file, place, HEAD_BYTES))
    if not 0 <= first < end:
        return 1
    file.seek(first)
    return _from_tiff(file.read(last - first))


def _jpeg_step(place: int, head: bytes) -> _Step:
    marker, size = head[1], int.from_bytes(head[2:4], "big")
    if head[0] != FILL or marker in LAST:
        return -1, -1, -1
    if marker == FILL:
        return place + 1, -1, -1
    if marker in BARE:
        return place + 2, -1, -1
    if size < 2:
        return -1, -1, -1
    following = place + 2 + size
    is_exif = marker == APP1 and size >= 8 and head[4:] == BEFORE_TIFF
    return following, place + 10 if is_exif else -1, following


def _png_step(place: int, head: bytes) -> _Step:
    size, name = int.from_bytes(head[:4], "big"), head[4:8]
    following = -1 if name == b"IEND" else place + 12 + size
    return following, place + 8 if name == b"eXIf" else -1, place + 8 + size


def _webp_step(place: int, head: bytes) -> _Step:
    name, size = head[:4], int.from_bytes(head[4:8], "little")
    following = place + 8 + size + size % 2
    return following, place + 8 if name == b"EXIF" else -1, place + 8 + size


def _from_tiff(tiff: bytes) -> int:
    tiff = tiff.removeprefix(BEFORE_TIFF)
    if tiff[:4] not in (LITTLE, BIG):
        return 1
    order: Literal["little", "big"] = "little" if tiff[:4] == LITTLE else "big"
    first = int.from_bytes(tiff[4:8].ljust(4, b"\0"), order)
    if not 8 <= first < len(tiff):
        return 1
    directory = tiff[first:].ljust(2, b"\0")
    count = min(int.from_bytes(directory[:2], order), MOST_ENTRIES)
    for start in range(2, 2 + _ENTRY_BYTES * count, _ENTRY_BYTES):
        entry = directory[start : start + _ENTRY_BYTES].ljust(_ENTRY_BYTES, b"\0")
        if int.from_bytes(entry[:2], order) == TAG:
            return _value(entry, order)
    return 1


def _value(entry: bytes, order: Literal["little", "big"]) -> int:
    width = {SHORT: 2, LONG: 4}.get(int.from_bytes(entry[2:4], order), 0)
    value = int.from_bytes(entry[8 : 8 + width], order)
    return value if 1 <= value <= 8 else 1
