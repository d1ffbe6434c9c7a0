import numpy as np
import pytest

from dce_tf.datasets import Search
from dce_tf.retrieval.identification import NearestPairs, find_nearest_pairs
from tests.retrieval.pairs import as_images, one_set, two_sets


def by_loop(search: Search, q: np.ndarray, g: np.ndarray) -> list[tuple[float, float]]:
    found = []
    for i, label in enumerate(search.query.labels):
        own, other = [], []
        for j, theirs in enumerate(search.gallery.labels):
            if not (search.leave_one_out and i == j):
                (own if label == theirs else other).append(float(q[i] @ g[j]))
        if own:
            found.append((max(own), max(other)))
    return found


@pytest.mark.parametrize("same_set", [True, False])
def test_nearest_of_either_kind_equal_a_plain_loop(same_set: bool) -> None:
    search, q, g = two_sets(0, (40, 70))
    if same_set:
        search, q = one_set(0, 60)
        g = q
    got = find_nearest_pairs(search, q, g)
    expected = by_loop(search, q, g)
    assert len(expected) == (60 if same_set else sum(search.query.labels < 6))
    np.testing.assert_array_equal(got.own, [own for own, _ in expected])
    np.testing.assert_array_equal(got.other, [other for _, other in expected])
    left, right = (
        each / np.linalg.norm(each, axis=1, keepdims=True) for each in (q, g)
    )
    for scores, rows in ((got.own, got.own_rows), (got.other, got.other_rows)):
        cosines = (left[got.rows] * right[rows]).sum(axis=1)
        np.testing.assert_allclose(cosines, scores, atol=1e-5)
    is_own = search.query.labels[got.rows] == search.gallery.labels[got.own_rows]
    assert is_own.all()
    for far in (0.5, 0.1, 0.01):
        threshold, rate, (low, high) = got.rate_at(far)
        alarms = np.mean([other >= threshold for _, other in expected])
        assert alarms <= far
        right = [own > other and own >= threshold for own, other in expected]
        assert rate == pytest.approx(np.mean(right))
        assert low <= rate <= high


def test_rate_by_hand() -> None:
    pairs = NearestPairs(
        np.array([0.9, 0.8, 0.7, 0.6], np.float32),
        np.array([0.5, 0.85, 0.4, 0.1], np.float32),
        np.array([0, 0, 1, 1], np.int32),
        *np.zeros((3, 4), np.int64),
    )
    # One of four unknown passes above 0.5: 0.9 and 0.7 and 0.6 are known and right.
    assert pairs.threshold_at(0.25) == pytest.approx(0.5)
    assert pairs.rate_at(0.25)[1] == 0.75
    # None passes above 0.85: only 0.9 does.
    assert pairs.rate_at(0.2)[1] == 0.25
    assert pairs.threshold_at(1) == -1


def test_a_collapsed_model_identifies_nothing() -> None:
    search, x = one_set(0, 20)
    got = find_nearest_pairs(search, np.ones_like(x), np.ones_like(x))
    assert got.rate_at(0.5)[1] == 0


def test_hidden_images_are_not_found() -> None:
    labels = np.array([0, 0, 0, 1, 1], np.int32)
    groups = np.array([0, 0, 1, 2, 3], np.int32)
    images = as_images(labels, groups)
    x = np.array([[1, 0], [1, 0], [0.8, 0.6], [0, 1], [0, 1]], np.float32)
    search = Search("test", images, images)
    got = find_nearest_pairs(search, x, x, exclude="same_image")
    np.testing.assert_allclose(got.own, [0.8, 0.8, 0.8, 1, 1], atol=1e-6)


def test_data_without_unknown_images_are_refused() -> None:
    images = as_images(np.zeros(4, np.int32))
    x = np.eye(4, dtype=np.float32)
    with pytest.raises(ValueError, match="cannot tell known images from unknown"):
        find_nearest_pairs(Search("test", images, images), x, x)
