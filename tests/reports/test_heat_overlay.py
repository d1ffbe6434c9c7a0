import numpy as np

from dce_tf.reports.heat_overlay import CROPPED, draw_heat

GREY = np.full((64, 64, 3), 100, np.uint8)


def test_what_speaks_for_a_match_is_red_and_what_against_blue() -> None:
    heat = np.zeros((7, 7), np.float32)
    heat[1, 1], heat[5, 5] = 0.5, -0.5
    drawn = draw_heat(GREY, heat, 0.5).astype(int)
    assert (drawn.shape, draw_heat(GREY, heat, 0.5).dtype) == ((64, 64, 3), np.uint8)
    red, blue = drawn[16, 16], drawn[48, 48]  # The middle of those places.
    assert red[0] > 150 > red[2]
    assert blue[2] > 150 > blue[0]
    np.testing.assert_array_equal(drawn[32, 32], 100)


def test_what_the_network_does_not_see_is_dark() -> None:
    drawn = draw_heat(GREY, np.zeros((2, 2), np.float32), 1.0)
    border = round(64 * (1 - CROPPED) / 2)
    assert np.all(drawn[:border] == 55)
    assert np.all(drawn[border:-border, border:-border] == 100)


def test_hottest_place_of_both_images_decides_the_strength() -> None:
    heat = np.full((3, 3), 0.2, np.float32)
    weak, strong = (draw_heat(GREY, heat, most)[32, 32, 0] for most in (1.0, 0.2))
    assert strong > weak > 100
    # Where nothing speaks for or against, nothing is drawn.
    assert draw_heat(GREY, 0 * heat, 0.0)[32, 32, 0] == 100
