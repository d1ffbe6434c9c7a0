import numpy as np
import pytest

from dce_tf.export.agreement import (
    draw_images,
    measure_agreement,
    require_agreement,
)


def test_cosines_by_hand() -> None:
    expected = np.array([[1, 0], [0.6, 0.8], [0, 0]], np.float32)
    received = np.array([[0.8, 0.6], [0.6, 0.8], [0, 0]], np.float32)
    found = measure_agreement(expected, received)
    assert found["images"] == 3
    assert found["min_cosine"] == pytest.approx(0.8)
    assert found["mean_cosine"] == pytest.approx(2.8 / 3)


def test_wrong_length_counts_as_wrong() -> None:
    unit = np.eye(2, dtype=np.float32)
    assert measure_agreement(unit, 0.5 * unit)["min_cosine"] == pytest.approx(0.875)


@pytest.mark.parametrize("value", [0.8, np.nan])
def test_too_low_and_not_finite_are_refused(value: float) -> None:
    found = {"images": 4, "mean_cosine": 1.0, "min_cosine": value}
    require_agreement(found, {"mean_cosine": 0.9}, "onnx")
    with pytest.raises(ValueError, match=r"onnx export .* min cosine was (0.8|nan)"):
        require_agreement(found, {"mean_cosine": 0.9, "min_cosine": 0.9}, "onnx")


def test_other_width_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(2, 3\); expected \(2, 2\)"):
        measure_agreement(np.zeros((2, 2)), np.zeros((2, 3)))


def test_drawn_images_are_the_same_each_time_and_of_all_values() -> None:
    drawn = draw_images(30)
    assert drawn.shape == (4, 30, 30, 3)
    assert drawn.dtype == np.float32
    np.testing.assert_array_equal(drawn, draw_images(30))
    assert drawn.min() < 5
    assert drawn.max() > 250
    assert drawn.max() <= 255
