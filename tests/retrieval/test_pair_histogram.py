import numpy as np
import pytest

from dce_tf.base.errors import UsageError
from dce_tf.datasets import Search
from dce_tf.retrieval import pair_tiles
from dce_tf.retrieval.pair_histogram import (
    ClassCounts,
    PairHistogram,
    count_by_class,
    count_pairs,
)
from dce_tf.retrieval.pair_tiles import STEPS, PairSet
from tests.retrieval.pairs import (
    as_images,
    by_loop,
    exact_vectors,
    one_set,
    random_labels,
    two_sets,
)


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few images make several tiles, the last ones not full."""
    monkeypatch.setattr(pair_tiles, "_HEIGHT", 16)
    monkeypatch.setattr(pair_tiles, "_WIDTH", 24)


def point(cosine: float) -> int:
    return round((cosine + 1) * STEPS / 2)


def histogram_of(pairs: list[tuple[int, bool, float]]) -> PairHistogram:
    counts = PairHistogram.empty()
    for _, same, cosine in pairs:
        (counts.positive if same else counts.negative)[point(cosine)] += 1
    return counts


def assert_equal(got: PairHistogram, expected: PairHistogram) -> None:
    np.testing.assert_array_equal(got.positive, expected.positive)
    np.testing.assert_array_equal(got.negative, expected.negative)


@pytest.mark.parametrize("count", [2, 15, 16, 17, 75])
def test_each_pair_of_one_set_counts_once(count: int) -> None:
    search, x = one_set(0, count)
    search.query.labels[:2] = 0, 0
    search.query.labels[-1] = 1 if count > 2 else 0
    if count == 2:
        with pytest.raises(ValueError, match="no pair of two classes that counts"):
            count_pairs(PairSet(search, x, x))
        return
    got = count_pairs(PairSet(search, x, x))
    assert_equal(got, histogram_of(by_loop(search, x, x)))
    assert got.positive.sum() + got.negative.sum() == count * (count - 1) // 2


def test_query_and_gallery_equal_a_plain_loop() -> None:
    search, q, g = two_sets(0, (37, 90))
    got = count_pairs(PairSet(search, q, g))
    assert_equal(got, histogram_of(by_loop(search, q, g)))
    assert got.positive.sum() + got.negative.sum() == 37 * 90


@pytest.mark.parametrize("same_set", [True, False])
@pytest.mark.parametrize("exclude", ["same_image", "same_camera"])
def test_pairs_that_the_protocol_hides_do_not_count(
    exclude: str, same_set: bool
) -> None:
    rng = np.random.default_rng(2)
    q_group, g_group = (rng.integers(-1, 4, size=n).astype(np.int32) for n in (40, 70))
    q, g = exact_vectors(0, 40), exact_vectors(1, 70)
    ql, gl = random_labels(0, 40), random_labels(1, 70)
    if same_set:
        g, gl, g_group = q, ql, q_group

    def hidden(i: int, j: int) -> bool:
        same = q_group[i] == g_group[j] and q_group[i] >= 0
        return same and (exclude == "same_image" or ql[i] == gl[j])

    query = as_images(ql, q_group)
    search = Search("test", query, query if same_set else as_images(gl, g_group))
    pairs = PairSet(search, q, g, exclude=exclude)
    expected = by_loop(search, q, g, hidden)
    assert_equal(count_pairs(pairs), histogram_of(expected))
    assert len(expected) < len(by_loop(search, q, g))


def test_random_galleries_are_drawn_as_searches_draw_them() -> None:
    images = as_images(random_labels(0, 60))
    x = exact_vectors(0, 60)
    got = count_pairs(PairSet(Search("test", images, images, num_galleries=4), x, x))
    # Each draw searches for 53 images among 7, one of each class.
    assert got.positive.sum() == 4 * 53
    assert got.negative.sum() == 4 * 53 * 6


def test_counts_of_classes_equal_a_plain_loop() -> None:
    thresholds = np.array([point(-0.25), point(0.125), point(0.5)])
    for search, q, g in (two_sets(3, (37, 90)), (*one_set(0, 75), None)):
        g = q if g is None else g
        got = count_by_class(PairSet(search, q, g), thresholds)
        expected = ClassCounts(*np.zeros((2, 7, 3), int), *np.zeros((2, 7), int))
        for label, same, cosine in by_loop(search, q, g, once=False):
            passed = np.array([-0.25, 0.125, 0.5]) <= cosine
            (expected.positive if same else expected.negative)[label] += passed
            (expected.num_positive if same else expected.num_negative)[label] += 1
        for name in ("positive", "negative", "num_positive", "num_negative"):
            np.testing.assert_array_equal(getattr(got, name), getattr(expected, name))


def test_cosines_are_rounded_to_the_nearest_grid_point() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 8))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    images = as_images(random_labels(0, 50))
    got = count_pairs(PairSet(Search("test", images, images), x, x))
    found = np.repeat(2 * np.arange(STEPS + 1) / STEPS - 1, got.positive + got.negative)
    expected = np.sort((x @ x.T)[np.triu_indices(50, 1)])
    np.testing.assert_allclose(found, expected, atol=0.51 * 2 / STEPS)


def test_embeddings_of_two_widths_are_refused() -> None:
    search, q, g = two_sets(0, (5, 6))
    with pytest.raises(ValueError, match="of one model; received 16 and 8 numbers"):
        PairSet(search, q, g[:, :8])


def test_one_class_and_missing_groups_are_refused() -> None:
    images = as_images(np.zeros(5, np.int32))
    x = exact_vectors(0, 5)
    with pytest.raises(ValueError, match="no pair of two classes that counts"):
        count_pairs(PairSet(Search("test", images, images), x, x))
    lone = as_images(np.arange(5, dtype=np.int32))
    with pytest.raises(ValueError, match="no pair of one class that counts"):
        count_pairs(PairSet(Search("test", lone, lone), x, x))
    with pytest.raises(UsageError, match="goes by the group"):
        PairSet(Search("test", lone, lone), x, x, exclude="same_image")
