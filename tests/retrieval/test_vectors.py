import numpy as np
import pytest

from dce_tf.retrieval import find_neighbours, score_grouping
from dce_tf.retrieval.vectors import centred, comparable
from tests.retrieval.test_rerankers import clusters


def test_cosine_scales_to_length_one_whatever_the_numbers() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6, 4))
    expected = x / np.linalg.norm(x, axis=1, keepdims=True)
    scales = np.array([1e-300, 1e-30, 1, 1e30, 1e300, 7])[:, None]
    got = comparable(x * scales, "cosine", "query")
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_zero_has_no_direction_and_stays() -> None:
    got = comparable(np.array([[0.0, 0], [3, 4]]), "cosine", "query")
    np.testing.assert_allclose(got, [[0, 0], [0.6, 0.8]], atol=1e-7)


def test_unit_vectors_are_not_copied() -> None:
    x, _ = clusters(0, 20)
    assert comparable(x, "cosine", "query") is x
    assert comparable(x, "euclidean", "query") is x
    query, gallery = centred(x, x)
    assert query is gallery is x


def test_numbers_whose_sum_overflows_are_finite() -> None:
    x = np.full((2, 8), 6e4, np.float16)
    np.testing.assert_allclose(comparable(x, "cosine", "query"), 8**-0.5, atol=1e-6)


def test_neighbours_and_clusters_are_found_far_from_zero() -> None:
    x, y = clusters(0, 100)
    x *= 4
    expected, distances = find_neighbours(x, x, 5, exclude_self=True)
    far = x.astype(np.float64) + 1e8
    found, moved = find_neighbours(far, far, 5, exclude_self=True)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(moved, distances, rtol=1e-3)
    near = score_grouping(x, y)["nmi"]
    assert score_grouping(far, y)["nmi"] == pytest.approx(near, abs=0.1)
