import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from dce_tf.images.bmp import decode_bmp
from dce_tf.images.scan import what_is_wrong

BGRA = struct.pack("<III", 0xFF0000, 0xFF00, 0xFF)
RGBA = struct.pack("<III", 0xFF, 0xFF00, 0xFF0000)
WIDTH, HEIGHT = 13, 7  # So that rows are padded.
# A header alone that announces more than memory holds.
BOMB = b"BM" + struct.pack("<IHHI", 0, 0, 0, 54)
BOMB += struct.pack("<IiiHHIIiiII", 40, 2**31 - 1, -(2**31), 1, 24, 0, 0, 0, 0, 0, 0)
decode = tf.function(
    decode_bmp, input_signature=[tf.TensorSpec((), tf.string)], autograph=False
)


def bmp(
    bits: int,
    *,
    header: int = 40,
    compression: int = 0,
    masks: bytes = b"",
    colours: int = 0,
    size: tuple[int, int] = (WIDTH, HEIGHT),
) -> bytes:
    """Returns a BMP of noise; its table has `colours`, or as many as can be."""
    rng = np.random.default_rng(0)
    width, height = size
    pixels = rng.bytes((bits * width + 31) // 32 * 4 * abs(height))
    table = rng.bytes(4 * (colours or 1 << bits)) if bits <= 8 else b""
    fields = (header, width, height, 1, bits, compression, 0, 0, 0, colours, 0)
    about = struct.pack("<IiiHHIIiiII", *fields)
    if header == 12:
        about = struct.pack("<IHHHH", 12, width, height, 1, bits)
    before = (about + masks).ljust(header, b"\0") + table
    start = 14 + len(before)
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, start) + before + pixels


def as_pil_reads(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize(
    "data",
    [
        bmp(8),
        bmp(8, colours=20),
        bmp(24),
        bmp(24, size=(WIDTH, -HEIGHT)),
        bmp(24, header=124),
        bmp(32),
        bmp(32, compression=3, masks=BGRA),
        bmp(32, compression=3, masks=BGRA, header=108),
    ],
)
def test_usual_kinds_are_decoded_as_pil_does(data: bytes) -> None:
    expected = as_pil_reads(data)
    # Some programs write a few bytes behind the pixels.
    for behind in (b"", b"\0\0", b"abc" * 99):
        np.testing.assert_array_equal(decode(data + behind), expected)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (bmp(1), "a BMP (bits per pixel: 1, compression: 0) is not read"),
        (bmp(4), "a BMP (bits per pixel: 4, compression: 0) is not read"),
        (bmp(16), "a BMP (bits per pixel: 16, compression: 0) is not read"),
        (
            bmp(8, compression=1),
            "a BMP (bits per pixel: 8, compression: 1) is not read",
        ),
        (
            bmp(32, compression=3, masks=RGBA),
            "a BMP with masks of colours other than BGRA is not read",
        ),
        (bmp(24, header=12), "a BMP with a header of 12 bytes is not read"),
        (bmp(24, header=64), "a BMP with a header of 64 bytes is not read"),
        (bmp(24)[:-3], "a BMP cut short: 331 of 334 bytes"),
        (bmp(24, size=(0, 7)), "a BMP whose header says 0 by 7 pixels"),
        (bmp(24, size=(7, 0)), "a BMP whose header says 7 by 0 pixels"),
        (BOMB, "a BMP whose header says 2147483647 by -2147483648 pixels"),
        (b"BM", "a BMP with a header of 0 bytes"),
    ],
)
def test_what_is_rare_or_damaged_is_refused_in_a_sentence(
    data: bytes, says: str
) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        decode(data)
    found = what_is_wrong(error.value)
    assert found.startswith(says)
    assert ("convert it to PNG" in found) == ("is not read" in found)
