"""Extents are those of the decoder, and are found in steps that are bounded."""

import contextlib
import io
import re
import struct
import zlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from dce_tf.images.extents import UnreadableError, read_extent
from dce_tf.images.gif import Extent
from dce_tf.images.preprocessing import decode


def saved(kind: str, size: tuple[int, int] = (37, 22), **options: Any) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3))
    buffer = io.BytesIO()
    Image.fromarray(noise.astype(np.uint8)).save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(name: bytes, content: bytes = b"") -> bytes:
    checksum = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + checksum


PNG, JPEG = saved("PNG"), saved("JPEG")
BEHIND_HEADER = 33  # Of a PNG.
PROGRESSIVE = saved("JPEG", progressive=True)
FILES = {
    "jpeg": JPEG,
    "progressive": PROGRESSIVE,
    "restarts": saved("JPEG", restart_marker_blocks=1),
    "filled": JPEG[:2] + b"\xff" * 100 + JPEG[2:],
    "comment of markers": JPEG[:2]
    + b"\xff\xfe\0\x0c\xff\xc0\0\x11\x08"
    + b"\1" * 5
    + JPEG[2:],
    "film behind": JPEG + b"\xff\xda\0\2" * 10_000,
    "png": PNG,
    "chunks": PNG[:BEHIND_HEADER] + chunk(b"tEXt", b"a\0") * 1000 + PNG[BEHIND_HEADER:],
    "gif": saved("GIF"),
    "bmp": saved("BMP"),
    "webp": saved("WEBP"),
    "lossless": saved("WEBP", lossless=True),
    "extended": saved("WEBP", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0"),
}


@pytest.mark.parametrize("name", FILES)
def test_an_image_is_as_large_as_it_is_decoded(name: str) -> None:
    height, width, _ = decode(tf.constant(FILES[name])).shape
    assert (width, height) == (37, 22)
    assert read_extent(FILES[name]) == Extent.of_still(width, height)


def test_a_bmp_stored_from_its_top_is_as_large() -> None:
    data = saved("BMP")
    turned = data[:22] + struct.pack("<i", -22) + data[26:]
    assert read_extent(turned) == Extent.of_still(37, 22)
    old = data[:14] + struct.pack("<IHH", 12, 5, 7) + data[22:]
    assert read_extent(old) == Extent.of_still(5, 7)


@pytest.mark.parametrize("name", [name for name in FILES if name != "gif"])
def test_every_beginning_of_a_file_is_measured_or_refused(name: str) -> None:
    data = FILES[name]
    for length in range(len(data) if len(data) < 5000 else 600):
        extent = None
        with contextlib.suppress(UnreadableError):
            extent = read_extent(data[:length])
        assert extent in (None, Extent.of_still(37, 22))


def test_what_is_no_image_has_no_extent() -> None:
    for data in (b"", b"x", b"GIF7", b"RIFFxxxxWAVE"):
        assert read_extent(data) is None


class Counted(bytes):
    """Bytes that count how often somebody looks into them."""

    looks = 0

    def __getitem__(self, place: Any) -> Any:
        Counted.looks += 1
        return super().__getitem__(place)


MANY = 2_000_000


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (JPEG[:2] + b"\xff" * MANY, "more than 4,096 bytes between its segments"),
        (
            JPEG[:2] + b"\xff\xe1\0\2" + b"\0" * MANY,
            "more than 4,096 bytes between its segments",
        ),
        (JPEG[:2] + b"\xff\0" * MANY, "more than 4,096 bytes between its segments"),
        (JPEG[:2] + b"\xff\xe1\0\2" * MANY, "more than 2,048 segments"),
        (JPEG[:-2] + b"\xff\xda\0\2" * MANY, "more than 2,048 segments"),
        (PNG[:BEHIND_HEADER] + chunk(b"tEXt") * MANY, "more than 16,384 chunks"),
    ],
    ids=["filled", "zeros", "stuffed", "segments", "scans", "chunks"],
)
def test_steps_without_end_are_not_taken(data: bytes, says: str) -> None:
    Counted.looks = 0
    with pytest.raises(ValueError, match=says):
        read_extent(Counted(data))
    assert Counted.looks < 60_000


def test_stray_bytes_are_bounded_for_the_whole_file() -> None:
    data = JPEG[:2] + (b"\xff" * 4000 + b"\xff\xe1\0\2") * 2 + JPEG[2:]
    with pytest.raises(ValueError, match="between its segments"):
        read_extent(data)


def test_a_jpeg_of_many_scans_counts_as_often_as_it_is_gone_over() -> None:
    last = [found.start() for found in re.finditer(rb"\xff\xda", PROGRESSIVE)][-1]
    scan = PROGRESSIVE[last:-2]
    scans = PROGRESSIVE.count(b"\xff\xda")
    pixels = 37 * 22
    fine = PROGRESSIVE[:-2] + scan * (16 - scans) + b"\xff\xd9"
    assert read_extent(fine) == Extent.of_still(37, 22)
    extent = read_extent(PROGRESSIVE[:-2] + scan * (96 - scans) + b"\xff\xd9")
    assert extent is not None
    assert extent.pixels >= 11 * pixels  # Each scan takes an eighth of the decoding.
    assert re.fullmatch("37 × 22 pixels in 1.. segments and 96 scans", str(extent))


def test_segments_before_an_orientation_count() -> None:
    data = JPEG[:2] + b"\xff\xe1\0\2" * 1000 + JPEG[2:]
    extent = read_extent(data)
    assert extent is not None
    assert 9_000_000 < extent.pixels < 11_000_000
    assert re.search("in 1,0.. segments and 1 scan$", str(extent))


@pytest.mark.parametrize("name", [b"zTXt", b"iTXt"])
def test_texts_of_a_png_count_as_what_they_unpack_to(name: bytes) -> None:
    def extent(count: int) -> Extent | None:
        texts = chunk(name, b"k\0\0\0\0" + zlib.compress(b"")) * count
        return read_extent(PNG[:BEHIND_HEADER] + texts + PNG[BEHIND_HEADER:])

    assert extent(4) == Extent.of_still(37, 22)
    many = extent(100)
    assert many is not None
    assert many.pixels == 37 * 22 + 96 * 8_000_000
    assert str(many) == "37 × 22 pixels in 103 chunks, 100 of them of text"
