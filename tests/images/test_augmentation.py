import colorsys

import numpy as np
import pytest
import tensorflow as tf

from dce_tf.base.errors import UsageError
from dce_tf.images import preprocessing
from dce_tf.images.augmentation import AUGMENTATIONS, Augmentation

SEED = tf.constant([3, 4])
BATCH = np.random.default_rng(0).uniform(0, 255, (6, 24, 24, 3)).astype(np.float32)
ONLY = {"crop_area": None, "flip": False}


def changed(seed: tf.Tensor = SEED, batch: np.ndarray = BATCH, **options) -> np.ndarray:
    return Augmentation(**ONLY, **options).change_colours(batch, seed).numpy()


def test_none_leaves_images_as_in_evaluation() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 30, 3)).astype(np.uint8)
    none = AUGMENTATIONS.build("none")
    expected = preprocessing.evaluation_image(tf.constant(image), 16)
    np.testing.assert_array_equal(none.crop(tf.constant(image), 16, SEED), expected)
    assert none.change_colours(BATCH, SEED) is BATCH


def test_paper_changes_no_colours() -> None:
    assert AUGMENTATIONS.build("paper").change_colours(BATCH, SEED) is BATCH


def test_crop_area_reaches_the_crop() -> None:
    # An image whose brightness is its column: the range tells the width of the crop.
    image = np.tile(np.arange(200, dtype=np.uint8)[None, :, None], (200, 1, 3))
    for area, least in ((1.0, 170), (0.5, 110), (0.08, 40)):
        crops = [
            AUGMENTATIONS.build(f"paper(crop_area={area})").crop(
                tf.constant(image), 32, tf.constant([0, seed])
            )
            for seed in range(30)
        ]
        spans = [float(np.ptp(crop)) for crop in crops]
        assert min(spans) >= least
    assert min(spans) < 110


def test_strong_keeps_the_range_and_draws_anew_for_each_image() -> None:
    strong = AUGMENTATIONS.build("strong")
    same = np.repeat(BATCH[:1], 32, axis=0)
    result = strong.change_colours(same, SEED).numpy()
    assert result.min() >= 0
    assert result.max() <= 255
    assert len({image.tobytes() for image in result}) > 25
    np.testing.assert_array_equal(result, strong.change_colours(same, SEED))
    other = strong.change_colours(same, tf.constant([3, 5])).numpy()
    assert np.any(result != other)


@pytest.mark.slow
def test_compiled_on_a_device_it_gives_what_it_gives_in_a_pipeline() -> None:
    strong = AUGMENTATIONS.build("strong")
    expected = strong.change_colours(BATCH, SEED)
    compiled = tf.function(strong.change_colours)
    np.testing.assert_allclose(compiled(BATCH, SEED), expected, atol=0.05)
    # XLA draws other numbers, but the same ones each time.
    fast = tf.function(strong.change_colours, jit_compile=True)
    np.testing.assert_array_equal(fast(BATCH, SEED), fast(BATCH, SEED))
    assert np.any(fast(BATCH, SEED) != BATCH)


def test_grey_has_the_luminance() -> None:
    result = changed(grey=1.0)
    expected = BATCH @ np.array([0.299, 0.587, 0.114])
    for channel in range(3):
        np.testing.assert_allclose(result[..., channel], expected, rtol=1e-4)


@pytest.mark.parametrize("option", ["grey", "blur", "erase"])
def test_share_of_the_images_that_change(option: str) -> None:
    batch = np.repeat(BATCH[:1], 600, axis=0)
    result = changed(batch=batch, **{option: 0.3})
    share = np.mean(np.any(result != batch, axis=(1, 2, 3)))
    assert share == pytest.approx(0.3, abs=0.06)


def test_blur_keeps_the_mean_and_lowers_the_contrast() -> None:
    result = changed(blur=1.0)
    flat = np.full((2, 24, 24, 3), 90, np.float32)
    np.testing.assert_allclose(changed(batch=flat, blur=1.0), 90, rtol=1e-5)
    assert np.all(result.std(axis=(1, 2)) < BATCH.std(axis=(1, 2)))


def test_erasing_fills_one_rectangle_with_the_mean() -> None:
    result = changed(erase=1.0)
    for before, after in zip(BATCH, result, strict=True):
        rows, columns = np.nonzero(np.any(before != after, axis=2))
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert len(rows) == height * width
        assert 0.005 < height * width / 24**2 < 0.3
        inside = after[rows, columns]
        np.testing.assert_allclose(
            inside, np.broadcast_to(before.mean(axis=(0, 1)), inside.shape), rtol=1e-4
        )


def test_hue_turns_around_the_greys() -> None:
    from dce_tf.images.augmentation import _turn_hue

    red = np.array([[[[200.0, 40.0, 40.0]]]], np.float32)
    third = _turn_hue(red, 2 * np.pi / 3).numpy()[0, 0, 0]
    assert sorted(third) == pytest.approx([40, 40, 200], abs=1e-2)
    hue = colorsys.rgb_to_hsv(*(third / 255))[0]
    assert min(hue, abs(hue - 1 / 3), abs(hue - 2 / 3)) == pytest.approx(0, abs=1e-3)
    assert third[0] == pytest.approx(40, abs=1e-2)
    grey = np.full((1, 1, 1, 3), 70, np.float32)
    np.testing.assert_allclose(_turn_hue(grey, 1.0), grey, rtol=1e-5)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("strong(blur=2)", "blur=2; expected 0 to 1"),
        ("paper(crop_area=0)", "above 0"),
        ("stronk", "strong"),
    ],
)
def test_names_what_cannot_be(spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        AUGMENTATIONS.build(spec)
