import io
import itertools
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from dce_tf.images import orientation, preprocessing
from dce_tf.images.exif import read_orientation

PICTURE = np.random.default_rng(0).integers(0, 256, (48, 72, 3)).astype(np.uint8)
KINDS = ["JPEG", "PNG", "WEBP"]
in_graph = tf.function(
    read_orientation, input_signature=[tf.TensorSpec((), tf.string)], autograph=False
)


def read(data: bytes) -> int:
    """Returns the orientation that both readers find."""
    found = int(in_graph(data))
    assert orientation.read_orientation(data) == found
    return found


def photograph(orientation: int | None, kind: str = "JPEG") -> bytes:
    image = Image.fromarray(PICTURE)
    exif = Image.Exif()
    exif[0x010F] = "Maker of cameras"
    if orientation is not None:
        exif[0x0112] = orientation
    exif[0x0131] = "a program"
    buffer = io.BytesIO()
    image.save(buffer, kind, quality=95, lossless=True, exif=exif)
    return buffer.getvalue()


def tiff(value: int, *, order: str = "<", kind: int = 3, at: int = 8) -> bytes:
    """Returns what EXIF holds: an orientation in a directory at a place."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    entry = struct.pack(f"{order}HHI", 0x0112, kind, 1)
    entry += struct.pack(f"{order}{'H2x' if kind == 3 else 'I'}", value)
    head = mark + struct.pack(f"{order}I", at)
    return head.ljust(at, b"\0") + struct.pack(f"{order}H", 1) + entry + bytes(4)


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def jpeg(*segments: bytes) -> bytes:
    """Returns a JPEG with these segments before its own."""
    buffer = io.BytesIO()
    Image.fromarray(PICTURE).save(buffer, "JPEG")
    return buffer.getvalue()[:2] + b"".join(segments) + buffer.getvalue()[2:]


def exif(value: int, **options: object) -> bytes:
    return segment(0xE1, b"Exif\0\0" + tiff(value, **options))


def chunk(name: bytes, content: bytes) -> bytes:
    crc = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + crc


def png(before: bytes = b"", behind: bytes = b"") -> bytes:
    """Returns a PNG with these chunks before its pixels and behind."""
    buffer = io.BytesIO()
    Image.fromarray(PICTURE).save(buffer, "PNG")
    data = buffer.getvalue()
    return data[:33] + before + data[33:-12] + behind + data[-12:]


ICC = segment(0xE2, b"ICC_PROFILE\0\1\1" + bytes(65_000))
COMMENT = segment(0xFE, b"Exif\0\0" + tiff(3))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_as_pil_turns_them(orientation: int, kind: str) -> None:
    data = photograph(orientation, kind)
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB")).astype(int)
    # Whole, and as a window of it.
    picture = preprocessing.open_picture(tf.constant(data))
    look = picture.look(tf.zeros(2, tf.int32), picture.shape, tf.fill((2,), 1000.0))
    for got in (preprocessing.decode(tf.constant(data)).numpy(), look.pixels.numpy()):
        assert got.shape == expected.shape
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize("order", "<>")
def test_both_byte_orders_and_widths_are_read(value: int, order: str) -> None:
    for kind in (3, 4):
        assert read(jpeg(exif(value, order=order, kind=kind))) == value
        block = chunk(b"eXIf", tiff(value, order=order, kind=kind))
        assert read(png(block)) == value


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (jpeg(COMMENT, exif(6)), 6),
        (jpeg(COMMENT), 1),
        (jpeg(ICC, ICC, ICC, exif(6)), 6),
        (jpeg(segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0"), exif(8)), 8),
        (jpeg(exif(6), exif(8)), 6),
        (jpeg(b"\xff\xff\xff", exif(6)), 6),
        (jpeg(exif(6, at=60_000)), 6),
        # Behind where the pixels begin it is pixels.
        (jpeg() + exif(6), 1),
        (png(chunk(b"tEXt", b"eXIf\0" + tiff(3)), chunk(b"eXIf", tiff(6))), 6),
        (png(chunk(b"tEXt", b"eXIf\0" + tiff(3))), 1),
        (png(chunk(b"eXIf", b"Exif\0\0" + tiff(6))), 6),
        (png(chunk(b"eXIf", tiff(6, at=200_000))), 6),
        (png() + chunk(b"eXIf", tiff(6)), 1),
    ],
)
def test_it_is_found_wherever_it_may_stand(data: bytes, expected: int) -> None:
    assert read(data) == expected
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert image.getexif().get(0x0112, 1) == expected


def test_markers_without_a_length_are_passed_over() -> None:
    assert read(jpeg(b"\xff\x01\xff\xd0", exif(6))) == 6


def test_chunk_of_a_webp_that_its_header_does_not_announce_is_none() -> None:
    data = bytearray(photograph(6, "WEBP"))
    assert read(bytes(data)) == 6
    data[20] &= ~0x08
    assert read(bytes(data)) == 1


def test_webp_is_read_behind_chunks_of_odd_size() -> None:
    data = photograph(6, "WEBP")
    odd = data[:30] + b"ODD!" + struct.pack("<I", 3) + b"abc\0" + data[30:]
    assert read(odd) == 6


@pytest.mark.parametrize(
    "data",
    [
        *(photograph(value, kind) for value in (None, 0, 9) for kind in KINDS),
        b"",
        b"\xff\xd8",
        b"\xff\xd8\xffExif\0\0",
        b"\xff\xd8\xff\xe1\0\x08Exif\0\0",
        b"\xff\xd8\xff\xe1\0\x10Exif\0\0II*\0\xff\xff\xff\xff",
        b"\xff\xd8\xff\xe1\xff\xffExif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01\x12" * 9,
        jpeg(segment(0xE1, b"Exif\0\0" + b"II+\0" + tiff(6)[4:])),
        b"\x89PNG Exif\0\0II*\0",
        png(chunk(b"eXIf", b"II")),
        b"\xff\xd8" + b"\xff" * 20_000 + exif(6)[1:],
    ],
)
def test_without_a_sound_tag_an_image_is_upright(data: bytes) -> None:
    assert read(data) == 1


def test_both_readers_agree_on_damaged_files() -> None:
    rng = np.random.default_rng(0)
    for kind in KINDS:
        data = photograph(6, kind)
        start = data.lower().index(b"exif")
        found = {}
        for _ in range(300):
            changed = bytearray(data[: int(rng.integers(start, len(data)))])
            place = int(rng.integers(max(0, start - 30), start + 90)) % len(changed)
            changed[place] = int(rng.integers(0, 256))
            value = read(bytes(changed))
            found[value] = found.get(value, 0) + 1
        assert found[1] > 10
        assert found[6] > 10


def test_photographs_are_read_as_pil_reads_them(shared: Path) -> None:
    files: Iterator[Path] = sorted((shared / "data" / "dogs").rglob("*.jpg"))[::60]
    for path in itertools.islice(files, 40):
        with Image.open(path) as image:
            expected = image.getexif().get(0x0112, 1)
        assert read(path.read_bytes()) == (expected if expected in range(1, 9) else 1)
