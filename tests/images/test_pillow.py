import io
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from dce_tf.images import preprocessing
from dce_tf.images.pillow import read_upright
from tests import fakes
from tests.images.test_preprocessing import KINDS, png_of_16_bits

NOISE = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)


def turned(kind: str, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(NOISE).save(buffer, kind, exif=exif, lossless=True)
    return buffer.getvalue()


def apart(data: bytes) -> int:
    """Returns how far people see another image than the network does."""
    seen, decoded = (
        np.asarray(read_upright(data)),
        preprocessing.decode(tf.constant(data)),
    )
    assert seen.shape == decoded.shape
    return int(np.abs(seen.astype(int) - decoded.numpy()).max())


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(10))
def test_people_see_what_is_embedded(kind: str, orientation: int) -> None:
    assert apart(turned(kind, orientation)) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_people_see_every_kind_as_it_is_embedded(kind: str) -> None:
    # PIL and TensorFlow turn ink to light differently.
    assert apart(KINDS[kind]) <= (1 if kind == "cmyk jpeg" else 0)


@pytest.mark.parametrize("channels", [1, 3])
def test_16_bits_are_not_cut_off(channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 2**16, (5, 7, channels))
    assert apart(png_of_16_bits(pixels)) == 0


def test_gif_is_black_where_its_first_frame_is_transparent_or_not_at_all() -> None:
    whole = Image.new("P", (8, 6), 1)
    whole.putpalette([0, 200, 0, 200, 0, 0, 0, 0, 200])
    first = Image.new("P", (4, 3), 2)
    first.putpalette([0, 200, 0, 200, 0, 0, 0, 0, 200])
    first.putpixel((0, 0), 0)
    frames = [frame_of(first, 2, 1), frame_of(whole, 0, 0)]
    colours = bytes([0, 200, 0, 200, 0, 0, 0, 0, 200, 0, 0, 0])
    screen = b"GIF89a\x08\0\x06\0\x81\0\0" + colours
    transparent = b"\x21\xf9\x04\x01\0\0\0\0"
    data = screen + transparent + b"".join(frames) + b";"
    assert apart(data) == 0
    seen = np.asarray(read_upright(data))
    expected = np.zeros((6, 8, 3), np.uint8)
    expected[1:4, 2:6] = (0, 0, 200)
    expected[1, 2] = 0
    np.testing.assert_array_equal(seen, expected)


def frame_of(image: Image.Image, left: int, top: int) -> bytes:
    """Returns the blocks of one frame without a palette of its own."""
    buffer = io.BytesIO()
    image.save(buffer, "GIF", optimize=False)
    data = buffer.getvalue()
    start = data.index(b",\0\0\0\0")
    box = b"".join(n.to_bytes(2, "little") for n in (left, top, *image.size))
    assert data[start + 9] == 0
    return b"," + box + data[start + 9 : -1]


def test_an_odd_tag_beside_the_orientation_does_not_matter() -> None:
    assert read_upright(fakes.odd_photograph((80, 40), (9, 9, 9))).size == (40, 80)


def test_files_paths_and_contents_are_read_alike(tmp_path: Path) -> None:
    path = tmp_path / "turned.png"
    path.write_bytes(turned("PNG", 6))
    with path.open("rb") as file:
        found = [read_upright(each) for each in (path, str(path), file)]
    expected = read_upright(path.read_bytes())
    assert all(image.tobytes() == expected.tobytes() for image in found)


def test_a_jpeg_is_decoded_no_larger_than_needed() -> None:
    data = fakes.odd_photograph((800, 400), (9, 9, 9))
    assert read_upright(data, side=100).size == (100, 200)


def test_huge_images_are_not_decoded() -> None:
    with pytest.raises(ValueError, match="2400 pixels are more than 2399"):
        read_upright(turned("PNG", 1), most_pixels=2399)
