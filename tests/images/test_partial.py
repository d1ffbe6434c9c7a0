import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from scipy.ndimage import map_coordinates

from dce_tf.images import partial, preprocessing

HEIGHT, WIDTH = 240, 403  # The width is a multiple of no reduction.


def smooth(height: int = HEIGHT, width: int = WIDTH) -> Image.Image:
    """Returns a picture without symmetries, which JPEG hardly changes."""
    y, x = np.mgrid[:height, :width] / 400
    colours = [x, y * 0.8, (x + 2 * y) / 3]
    return Image.fromarray((np.stack(colours, -1) * 240).astype(np.uint8))


def jpeg(orientation: int = 1, **options: object) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    smooth().save(buffer, "JPEG", quality=98, exif=exif, **options)
    return buffer.getvalue()


def looked(data: bytes, offset: tuple, extent: tuple, size: int) -> partial.View:
    picture = preprocessing.open_picture(tf.constant(data))
    target = tf.fill((2,), float(size))
    return picture.look(tf.constant(offset), tf.constant(extent), target)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_window_of_a_turned_jpeg_is_that_of_the_whole(orientation: int) -> None:
    data = jpeg(orientation)
    whole = preprocessing.decode(tf.constant(data)).numpy()
    shape = preprocessing.open_picture(tf.constant(data)).shape
    np.testing.assert_array_equal(shape, whole.shape[:2])
    view = looked(data, (31, 17), (90, 120), size=90)
    np.testing.assert_array_equal(view.start, [0, 0])
    assert view.scale == 1
    apart = np.abs(view.pixels.numpy().astype(int) - whole[31:121, 17:137])
    assert apart.max() <= 4, "JPEG fills colours in at the edges of a window"
    assert apart.mean() < 0.2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("size", "reduction"), [(30, 2), (16, 4)])
def test_reduced_window_shows_the_same_place(
    orientation: int, size: int, reduction: int
) -> None:
    data = jpeg(orientation)
    whole = preprocessing.decode(tf.constant(data)).numpy()
    offset, extent = (31, 17), (130, 150)
    view = looked(data, offset, extent, size)
    assert view.scale == 1 / reduction
    assert np.all(view.start >= 0)
    assert np.all(view.start < 1)
    # Where the middle of each pixel of the view lies in the picture.
    (height, width), start = view.pixels.shape[:2], view.start.numpy()
    y = (np.arange(height) + 0.5 - start[0]) * reduction + offset[0] - 0.5
    x = (np.arange(width) + 0.5 - start[1]) * reduction + offset[1] - 0.5
    places = np.meshgrid(y, x, indexing="ij")
    planes = np.moveaxis(whole.astype(float), -1, 0)
    expected = np.stack(
        [map_coordinates(plane, places, order=1) for plane in planes],
        axis=-1,
    )
    apart = view.pixels.numpy() - expected
    assert np.abs(apart).mean() < 1
    # The picture rises by 0.6 a pixel, so that a shift would show.
    np.testing.assert_allclose(apart.mean(axis=(0, 1)), 0, atol=0.15)


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "WEBP"])
def test_other_kinds_are_cut_out_of_the_whole(kind: str) -> None:
    buffer = io.BytesIO()
    smooth().save(buffer, kind)
    whole = preprocessing.decode(tf.constant(buffer.getvalue())).numpy()
    view = looked(buffer.getvalue(), (3, 5), (60, 70), size=4)
    np.testing.assert_array_equal(view.pixels, whole[3:63, 5:75])


@pytest.mark.parametrize("options", [{"progressive": True}, {"subsampling": 0}])
def test_every_jpeg_is_cut(options: dict) -> None:
    data = jpeg(**options)
    whole = preprocessing.decode(tf.constant(data)).numpy()
    view = looked(data, (40, 40), (50, 50), size=50)
    apart = np.abs(view.pixels.numpy().astype(int) - whole[40:90, 40:90])
    assert apart.mean() < 0.2


def test_small_windows_are_not_reduced() -> None:
    for size, scale in ((91, 1), (45, 0.5), (44, 0.5), (22, 0.25), (3, 0.25)):
        assert looked(jpeg(), (0, 0), (180, 180), size).scale == scale


@pytest.mark.parametrize("orientation", [1, 6])
def test_reduction_hardly_changes_an_evaluation_image(orientation: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3)).astype(np.uint8)
    picture = Image.fromarray(noise).resize((640, 480), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=95, exif=exif)
    data = tf.constant(buffer.getvalue())
    reduced = preprocessing.evaluation_image(preprocessing.open_picture(data), 48)
    exact = preprocessing.evaluation_image(preprocessing.decode(data), 48)
    apart = np.abs(reduced.numpy() - exact.numpy())
    assert 0 < apart.mean() < 1.5


def test_damage_anywhere_is_met_by_evaluation() -> None:
    data = jpeg()
    cut = tf.constant(data[: len(data) * 9 // 10])
    with pytest.raises(tf.errors.InvalidArgumentError):
        preprocessing.evaluation_image(preprocessing.open_picture(cut), 32)


def test_shrunken_image_is_no_larger_than_evaluation_needs() -> None:
    image = preprocessing.shrunken(preprocessing.open_picture(tf.constant(jpeg())), 56)
    assert image.dtype == tf.uint8
    assert image.shape == (64, int(64 * WIDTH / HEIGHT), 3)
    exact = preprocessing.evaluation_image(
        preprocessing.decode(tf.constant(jpeg())), 56
    ).numpy()
    apart = np.abs(preprocessing.evaluation_image(image, 56).numpy() - exact)
    assert apart.max() <= 2


def test_small_image_is_not_enlarged() -> None:
    small = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    picture = partial.of_pixels(tf.constant(small))
    np.testing.assert_array_equal(preprocessing.shrunken(picture, 56), small)
