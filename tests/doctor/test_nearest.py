import numpy as np
import pytest

from dce_tf.doctor import nearest
from dce_tf.doctor.nearest import find_nearest, pair_cosines
from tests.doctor.drawn import draw


def loop(vectors: np.ndarray, k: int) -> np.ndarray:
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -2)
    return -np.sort(-cosines, axis=1)[:, :k]


def test_neighbours_are_those_of_a_plain_loop_and_never_the_image_itself() -> None:
    _, vectors = draw()
    found = find_nearest(vectors, 5)
    np.testing.assert_allclose(found.cosines, loop(vectors, 5), atol=1e-5)
    assert (found.rows != np.arange(len(vectors))[:, None]).all()
    pairs = np.repeat(np.arange(len(vectors)), 5), found.rows.ravel()
    np.testing.assert_allclose(
        pair_cosines(vectors, *pairs).reshape(found.cosines.shape),
        found.cosines,
        atol=1e-5,
    )


def test_many_images_are_searched_in_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "_MOST_PRODUCTS", 0)
    monkeypatch.setattr("dce_tf.index.structures.SCANNED", 0)
    monkeypatch.setattr(nearest, "_AT_ONCE", 100)
    _, vectors = draw(30, 12)
    done = []
    found = find_nearest(vectors, 5, done.append)
    assert np.mean(found.cosines[:, 0] > loop(vectors, 1)[:, 0] - 1e-4) > 0.98
    assert done == [100, 200, 300, 360]


def test_few_images_have_few_neighbours_and_copies_do_not_crowd_out() -> None:
    vectors = np.ones((4, 2), np.float32) / np.float32(np.sqrt(2))
    found = find_nearest(vectors, 2)
    assert found.rows.shape == (4, 2)
    assert find_nearest(vectors[:2]).rows.tolist() == [[1], [0]]
