import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from dce_tf import images

NOISE = np.random.default_rng(0).integers(0, 256, (60, 90, 3)).astype(np.uint8)


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
def test_formats_of_the_contract_become_rgb(kind: str) -> None:
    data = encoded(Image.fromarray(NOISE), kind)
    decoded = images.decode(tf.constant(data))
    assert decoded.dtype == tf.uint8
    assert decoded.shape == (60, 90, 3)


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("L", "JPEG"), ("CMYK", "JPEG"), ("L", "PNG"), ("P", "PNG"), ("RGBA", "PNG")],
)
def test_colour_modes_become_rgb(mode: str, kind: str) -> None:
    orange = Image.new("RGB", (8, 8), (250, 130, 10)).convert(mode)
    decoded = images.decode(tf.constant(encoded(orange, kind))).numpy()
    expected = np.asarray(orange.convert("RGB"))
    assert np.abs(decoded.astype(int) - expected).max() <= 12


def test_damaged_data_is_refused() -> None:
    whole = encoded(Image.fromarray(NOISE), "PNG")
    for data in (b"", b"no image", whole[: len(whole) // 2]):
        with pytest.raises(tf.errors.InvalidArgumentError):
            images.decode(tf.constant(data))


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
    got = images.evaluation_image(tf.constant(noise), 112).numpy()
    assert got.shape == (112, 112, 3)
    # PIL rounds to whole numbers, twice.
    assert np.abs(got - expected).max() <= 2
    assert np.abs(got - expected).mean() <= 0.5


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (2, 3)])
def test_extreme_sides_work(shape: tuple[int, int]) -> None:
    grey = tf.fill((*shape, 3), tf.constant(100, tf.uint8))
    for got in (
        images.evaluation_image(grey, 32),
        images.training_image(grey, 32, tf.constant([0, 1])),
    ):
        assert got.shape == (32, 32, 3)
        np.testing.assert_allclose(got, 100, atol=1e-3)


def test_crops_keep_to_the_area_and_aspect_of_the_paper() -> None:
    draw = tf.function(images.sample_crop)
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
    offset, extent = images.sample_crop(tf.constant([10, 1000]), tf.constant([0, 0]))
    np.testing.assert_array_equal(extent, [10, 13])
    np.testing.assert_array_equal(offset, [0, 494])


def test_training_image_depends_on_the_seed_alone() -> None:
    first, again, other = (
        images.training_image(tf.constant(NOISE), 32, tf.constant([0, seed])).numpy()
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)


def test_half_of_the_training_images_are_flipped() -> None:
    ramp = np.repeat(np.arange(90, dtype=np.uint8)[None, :, None], 60, 0).repeat(3, 2)
    draw = tf.function(lambda seed: images.training_image(tf.constant(ramp), 16, seed))
    flipped = 0
    for seed in range(400):
        image = draw(tf.constant([7, seed])).numpy()
        flipped += image[0, 0, 0] > image[0, -1, 0]
    assert 150 < flipped < 250
