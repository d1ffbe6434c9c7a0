import numpy as np

from dce_tf.doctor.nearest import find_nearest
from dce_tf.doctor.odd import deviations, find_odd_pictures, find_outliers
from tests.doctor.drawn import DIM, draw, looks, unit


def test_images_far_from_all_others_are_outliers() -> None:
    _, vectors = draw(10, 30, spread=0.1)
    assert find_outliers(find_nearest(vectors)) == []
    rng = np.random.default_rng(1)
    odd = [7, 50, 93]
    vectors[odd] = unit(rng.normal(size=(3, DIM)))
    found = find_outliers(find_nearest(vectors))
    assert sorted(each.rows[0] for each in found) == odd
    assert "to its 20th neighbour" in found[0].text


def test_a_few_alike_are_outliers_all_the_same() -> None:
    _, vectors = draw(10, 30, spread=0.1)
    odd = [7, 50, 93, 20, 21, 22]
    noise = 0.1 * np.random.default_rng(2).normal(size=(6, DIM))
    vectors[odd] = unit(np.random.default_rng(1).normal(size=(1, DIM)) + noise)
    found = find_outliers(find_nearest(vectors))
    assert {each.rows[0] for each in found} == set(odd)


def test_deviations_by_hand() -> None:
    values = np.array([0.0, 1.0, 2.0, 3.0, 100.0])
    np.testing.assert_allclose(deviations(values)[-1], 98 / 1.4826)
    assert deviations(np.ones(4)).tolist() == [0, 0, 0, 0]


def test_each_fault_of_a_picture_is_named_once() -> None:
    pictures = looks(40)
    assert find_odd_pictures(pictures) == []
    pictures.problems[0] = "cut short"
    pictures.emptiness[1], pictures.light[1] = 1, 0.01
    pictures.light[2] = 0.1
    pictures.sharpness[3] = 1
    pictures.sides[4] = 500, 100
    found = {each.rows[0]: each.kind for each in find_odd_pictures(pictures)}
    assert found == {0: "broken", 1: "empty", 2: "dark", 3: "blurred", 4: "tiny"}


def test_nothing_but_broken_files_is_no_error() -> None:
    pictures = looks(2)
    pictures.problems.update({0: "no such file", 1: "no such file"})
    assert [each.kind for each in find_odd_pictures(pictures)] == ["broken"] * 2
