import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from dce_tf import images
from dce_tf.exif import read_orientation

PICTURE = np.random.default_rng(0).integers(0, 256, (6, 9, 3)).astype(np.uint8)
PICTURE = PICTURE.repeat(8, axis=0).repeat(8, axis=1)
read = tf.function(read_orientation)


def photograph(orientation: int | None, **tags: object) -> bytes:
    image = Image.fromarray(PICTURE)
    exif = Image.Exif()
    exif[0x010F] = "Maker of cameras"
    if orientation is not None:
        exif[0x0112] = orientation
    exif[0x0131] = "a program"
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95, exif=exif)
    return buffer.getvalue()


def big_endian(orientation: int) -> bytes:
    data = bytearray(photograph(None))
    start = data.index(b"Exif\0\0") + 6
    entry = bytes.fromhex("0112 0003 00000001".replace(" ", ""))
    block = b"MM\0*\0\0\0\x08\0\x01" + entry + bytes([0, orientation, 0, 0]) + bytes(4)
    data[start : start + len(block)] = block
    return bytes(data)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_as_pil_turns_them(orientation: int) -> None:
    data = photograph(orientation)
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB")).astype(int)
    got = images.decode(tf.constant(data)).numpy()
    assert got.shape == expected.shape
    # Two JPEG decoders round differently.
    assert np.abs(got - expected).mean() < 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_both_byte_orders_are_read(orientation: int) -> None:
    assert int(read(tf.constant(photograph(orientation)))) == orientation
    assert int(read(tf.constant(big_endian(orientation)))) == orientation


@pytest.mark.parametrize(
    "data",
    [
        photograph(None),
        photograph(0),
        photograph(9),
        b"",
        b"\xff\xd8",
        b"\xff\xd8Exif\0\0",
        b"\xff\xd8Exif\0\0II*\0\xff\xff\xff\xff",
        b"\xff\xd8Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01\x12" * 9,
        b"\x89PNG Exif\0\0II*\0",
    ],
)
def test_without_a_sound_tag_an_image_is_upright(data: bytes) -> None:
    assert int(read(tf.constant(data))) == 1
