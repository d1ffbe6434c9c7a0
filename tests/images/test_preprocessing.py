import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from dce_tf.images import preprocessing

NOISE = np.random.default_rng(0).integers(0, 256, (60, 90, 3)).astype(np.uint8)


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def picture(size: tuple[int, int] = (60, 40)) -> Image.Image:
    """Returns a smooth picture, which JPEG hardly changes."""
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    return Image.fromarray(np.stack([x * 4, y * 6, x + y], -1).astype(np.uint8))


def with_alpha() -> Image.Image:
    image = picture().convert("RGBA")
    image.putalpha(picture().getchannel("R"))
    return image


def palette(colours: int) -> Image.Image:
    return picture().quantize(colours)


def png_of_16_bits(pixels: np.ndarray) -> bytes:
    """Returns a PNG of shape `(height, width, 1 or 3)`, which PIL cannot write."""
    height, width, channels = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    size = struct.pack(">II", width, height)
    kind = bytes([16, 2 if channels == 3 else 0, 0, 0, 0])
    chunks = ((b"IHDR", size + kind), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data))
        + name
        + data
        + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


FRAMES = {
    "save_all": True,
    "append_images": [picture().rotate(90), picture().rotate(180)],
}
KINDS = {
    "jpeg": encoded(picture(), "JPEG", quality=95),
    "progressive jpeg": encoded(picture(), "JPEG", progressive=True, quality=95),
    "grey jpeg": encoded(picture().convert("L"), "JPEG"),
    "cmyk jpeg": encoded(picture().convert("CMYK"), "JPEG", quality=95),
    "png": encoded(picture(), "PNG"),
    "grey png": encoded(picture().convert("L"), "PNG"),
    "bilevel png": encoded(picture().convert("1"), "PNG"),
    "palette png": encoded(palette(200), "PNG"),
    "palette of 4 bits png": encoded(palette(16), "PNG", bits=4),
    "transparent palette png": encoded(palette(200), "PNG", transparency=3),
    "alpha png": encoded(with_alpha(), "PNG"),
    "grey alpha png": encoded(with_alpha().convert("LA"), "PNG"),
    "gif": encoded(palette(200), "GIF"),
    "animated gif": encoded(picture(), "GIF", **FRAMES),
    "bmp": encoded(picture(), "BMP"),
    "grey bmp": encoded(picture().convert("L"), "BMP"),
    "alpha bmp": encoded(with_alpha(), "BMP"),
    "palette bmp": encoded(palette(256), "BMP"),
    "small palette bmp": encoded(palette(16), "BMP"),
    "webp": encoded(picture(), "WEBP", quality=95),
    "lossless webp": encoded(picture(), "WEBP", lossless=True),
    "alpha webp": encoded(with_alpha(), "WEBP", lossless=True, exact=True),
    "animated webp": encoded(picture(), "WEBP", lossless=True, **FRAMES),
    "column png": encoded(picture((1, 40)), "PNG"),
    "row jpeg": encoded(picture((60, 1)), "JPEG", quality=95),
    "pixel bmp": encoded(picture((1, 1)), "BMP"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_image_is_decoded_as_pil_does(kind: str) -> None:
    expected = np.asarray(Image.open(io.BytesIO(KINDS[kind])).convert("RGB"))
    decoded = preprocessing.decode(tf.constant(KINDS[kind]))
    assert decoded.dtype == tf.uint8
    assert decoded.shape == expected.shape
    apart = np.abs(decoded.numpy().astype(int) - expected).max()
    # The two turn ink to light differently.
    assert apart <= (1 if kind == "cmyk jpeg" else 0)


def test_all_kinds_fit_in_one_pipeline() -> None:
    dataset = tf.data.Dataset.from_tensor_slices(list(KINDS.values()))
    decoded = dataset.map(
        lambda data: tf.image.resize(preprocessing.decode(data), (8, 8))
    )
    assert np.stack(list(decoded)).shape == (len(KINDS), 8, 8, 3)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_upper_8_of_16_bits_are_taken(channels: int) -> None:
    # PIL cuts off grey ones at 255 instead.
    pixels = np.random.default_rng(0).integers(0, 2**16, (5, 7, channels))
    decoded = preprocessing.decode(tf.constant(png_of_16_bits(pixels))).numpy()
    np.testing.assert_array_equal(decoded, np.broadcast_to(pixels >> 8, (5, 7, 3)))


def test_damaged_data_is_refused() -> None:
    whole = encoded(Image.fromarray(NOISE), "PNG")
    for data in (b"", b"no image", whole[: len(whole) // 2]):
        with pytest.raises(tf.errors.InvalidArgumentError):
            preprocessing.decode(tf.constant(data))


@pytest.mark.parametrize("shape", [(300, 201), (201, 300), (64, 64), (97, 500)])
def test_evaluation_image_is_pils_resize_and_centre_crop(
    shape: tuple[int, int],
) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (*shape, 3)).astype(np.uint8)
    short = round(112 * 256 / 224)
    height, width = (int(short * side / min(shape)) for side in shape)
    resized = Image.fromarray(noise).resize((width, height), Image.Resampling.BILINEAR)
    top, left = round((height - 112) / 2), round((width - 112) / 2)
    expected = np.asarray(resized.crop((left, top, left + 112, top + 112)), np.float32)
    got = preprocessing.evaluation_image(tf.constant(noise), 112).numpy()
    assert got.shape == (112, 112, 3)
    # PIL rounds to whole numbers, twice.
    assert np.abs(got - expected).max() <= 2
    assert np.abs(got - expected).mean() <= 0.5


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (2, 3)])
def test_extreme_sides_work(shape: tuple[int, int]) -> None:
    grey = tf.fill((*shape, 3), tf.constant(100, tf.uint8))
    for got in (
        preprocessing.evaluation_image(grey, 32),
        preprocessing.training_image(grey, 32, tf.constant([0, 1])),
    ):
        assert got.shape == (32, 32, 3)
        np.testing.assert_allclose(got, 100, atol=1e-3)


def test_crops_keep_to_the_area_and_aspect_of_the_paper() -> None:
    draw = tf.function(preprocessing.sample_crop)
    shape = tf.constant([300, 300])
    drawn = [draw(shape, tf.constant([0, seed])) for seed in range(2000)]
    offset, extent = (np.array([np.asarray(d[i]) for d in drawn]) for i in (0, 1))
    area = extent.prod(axis=1) / 300**2
    aspect = extent[:, 1] / extent[:, 0]
    assert 0.075 <= area.min() <= 0.1
    assert 0.9 <= area.max() <= 1
    assert 0.74 <= aspect.min() <= 0.78
    assert 1.28 <= aspect.max() <= 1.35
    assert np.all(offset >= 0)
    assert np.all(offset + extent <= 300)
    assert np.median(np.log(aspect)) == pytest.approx(0, abs=0.03)


def test_no_fitting_draw_falls_back_to_the_largest_central_window() -> None:
    offset, extent = preprocessing.sample_crop(
        tf.constant([10, 1000]), tf.constant([0, 0])
    )
    np.testing.assert_array_equal(extent, [10, 13])
    np.testing.assert_array_equal(offset, [0, 494])


def test_training_image_depends_on_the_seed_alone() -> None:
    first, again, other = (
        preprocessing.training_image(
            tf.constant(NOISE), 32, tf.constant([0, seed])
        ).numpy()
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)


def test_half_of_the_training_images_are_flipped() -> None:
    ramp = np.repeat(np.arange(90, dtype=np.uint8)[None, :, None], 60, 0).repeat(3, 2)
    draw = tf.function(
        lambda seed: preprocessing.training_image(tf.constant(ramp), 16, seed)
    )
    flipped = 0
    for seed in range(400):
        image = draw(tf.constant([7, seed])).numpy()
        flipped += image[0, 0, 0] > image[0, -1, 0]
    assert 150 < flipped < 250
