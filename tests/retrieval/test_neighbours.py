import numpy as np
import pytest

from dce_tf.retrieval import find_neighbours


def points(number: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(number, 5)).astype(np.float32)


@pytest.mark.parametrize("exclude_self", [False, True])
def test_neighbours_equal_a_plain_loop(exclude_self: bool) -> None:
    x = points(70)
    found, distances = find_neighbours(x, x, 6, exclude_self=exclude_self)
    for i, vector in enumerate(x):
        others = [j for j in range(70) if not (exclude_self and i == j)]
        others.sort(key=lambda j: float(np.sum((vector - x[j]) ** 2)))
        assert found[i].tolist() == others[:6]
        squared = [np.sum((vector - x[j]) ** 2) for j in others[:6]]
        np.testing.assert_allclose(distances[i], squared, atol=1e-4)


def test_hand_worked_distances() -> None:
    x = np.array([[0, 0], [3, 4], [0, 1]], np.float32)
    found, distances = find_neighbours(x, x, 2, exclude_self=True)
    assert found.tolist() == [[2, 1], [2, 0], [0, 1]]
    assert distances.tolist() == [[1, 25], [18, 25], [1, 18]]


def test_duplicates_never_let_an_image_find_itself() -> None:
    x = np.zeros((12, 3), np.float32)
    found, _ = find_neighbours(x, x, 4, exclude_self=True)
    assert found.shape == (12, 4)
    assert not np.any(found == np.arange(12)[:, None])


def test_k_beyond_the_gallery_is_clipped() -> None:
    found, _ = find_neighbours(points(9), points(9), 100, exclude_self=True)
    assert sorted(found[0]) == list(range(1, 9))


def test_embeddings_of_any_layout_are_taken() -> None:
    x = points(20)
    expected, _ = find_neighbours(x, x, 3, exclude_self=True)
    other = np.asfortranarray(x.astype(np.float64))
    found, _ = find_neighbours(other, other, 3, exclude_self=True)
    np.testing.assert_array_equal(found, expected)


def test_embeddings_that_are_not_finite_are_refused() -> None:
    x, broken = points(5), points(5)
    broken[[1, 2]] = np.inf
    with pytest.raises(ValueError, match="2 of 5 gallery embeddings are not finite"):
        find_neighbours(x, broken, 1, exclude_self=False)
