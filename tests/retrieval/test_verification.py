import numpy as np
import pytest
import sklearn.metrics

from dce_tf.datasets import Search
from dce_tf.retrieval.pair_histogram import (
    ClassCounts,
    PairHistogram,
    count_by_class,
    count_pairs,
)
from dce_tf.retrieval.pair_tiles import STEPS, PairSet
from dce_tf.retrieval.verification import (
    FARS,
    Roc,
    describe_uncarried,
    opis,
    opis_points,
)
from tests.retrieval.pairs import as_images, by_loop, one_set, random_labels


def histogram(positive: dict[float, int], negative: dict[float, int]) -> PairHistogram:
    counts = PairHistogram.empty()
    for part, given in ((counts.positive, positive), (counts.negative, negative)):
        for cosine, number in given.items():
            part[round((cosine + 1) * STEPS / 2)] = number
    return counts


def separated(seed: int, count: int, spread: float) -> tuple[Search, np.ndarray]:
    """Returns images around the centres of their classes."""
    rng = np.random.default_rng(seed)
    images = as_images(random_labels(seed, count))
    x = rng.normal(size=(7, 12))[images.labels] + rng.normal(
        scale=spread, size=(count, 12)
    )
    return Search("test", images, images), x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize("exact", [True, False])
def test_curve_equals_that_of_scikit_learn(exact: bool) -> None:
    search, x = one_set(0, 90) if exact else separated(0, 90, 0.7)
    _, same, scores = zip(*by_loop(search, x, x), strict=True)
    roc = Roc.of(count_pairs(PairSet(search, x, x)))
    far, tar, _ = sklearn.metrics.roc_curve(same, scores, drop_intermediate=False)
    others = np.array(scores)[~np.array(same)]
    # Rounding to the grid may put one pair of about 3,400 on the other side.
    close = 0.0 if exact else 3e-4
    assert roc.area == pytest.approx(
        sklearn.metrics.roc_auc_score(same, scores), abs=max(close, 1e-9)
    )
    for wanted in (0.5, 0.1, 0.03):
        place = np.flatnonzero(far <= wanted)[-1]
        found = roc.at(wanted)
        assert found is not None
        assert found["far"] == pytest.approx(far[place], abs=close)
        assert found["tar"] == pytest.approx(tar[place], abs=20 * close)
        accepted = np.mean(others >= found["threshold"])
        assert accepted == pytest.approx(found["far"], abs=close)
    crossing = np.interp(0, far - (1 - tar), far)
    assert roc.equal_error_rate == pytest.approx(crossing, abs=max(close, 1e-9))


def test_rates_of_a_curve_by_hand() -> None:
    # 4 of one class: 0.9, 0.5, 0.5, 0; 10 of two: 0.5, then 0 and below.
    counts = histogram({0.9: 1, 0.5: 2, 0: 1}, {0.5: 1, 0: 5, -0.5: 4})
    roc = Roc.of(counts)
    # 0.9 beats 10, each 0.5 beats 9 and ties 1, 0 beats 4 and ties 5.
    assert roc.area == pytest.approx((10 + 9.5 + 9.5 + 6.5) / 40)
    point = roc.point_at(0.1)
    assert roc.far[point] == pytest.approx(0.1)
    assert roc.tar[point] == 0.75
    assert roc.tar[roc.point_at(0.0999)] == 0.25
    # From (0.1, 0.75) to (0.6, 1) the miss rate falls from 0.25 to 0.
    assert roc.equal_error_rate == pytest.approx(0.1 + 0.15 / 0.75 * 0.5)


def test_a_collapsed_model_has_a_curve_of_one_step() -> None:
    roc = Roc.of(histogram({1.0: 50}, {1.0: 5000}))
    assert roc.area == roc.equal_error_rate == 0.5
    found = roc.at(0.1)
    assert found is not None
    assert found["tar"] == found["far"] == 0
    assert found["threshold"] > 1


def test_separate_pairs_have_no_errors() -> None:
    roc = Roc.of(histogram({0.9: 5}, {0.1: 5000}))
    assert (roc.area, roc.equal_error_rate) == (1, 0)
    found = roc.at(0.01)
    assert found is not None
    assert found["tar"] == 1
    # Whatever lies above the pairs of two classes keeps the rate; this is the lowest.
    assert found["threshold"] == pytest.approx(0.1, abs=2**-14)


def test_rates_without_enough_pairs_are_not_reported() -> None:
    roc = Roc.of(histogram({0.9: 5}, {0.1: 9_999}))
    assert roc.at(1e-3) is None
    assert roc.at(2e-3) is not None
    assert describe_uncarried(roc, FARS) == (
        "9,999 pairs of two classes do not carry a FAR of 0.001 or 0.0001: 10 false "
        "accepts at 0.0001 need 100,000 of them."
    )
    assert describe_uncarried(roc, (0.1,)) is None


def test_inconsistency_of_classes_by_hand() -> None:
    # Utilities 1 and 2/3: each 1/6 from the mean, at both thresholds.
    counts = ClassCounts(
        np.array([[4, 4], [2, 2], [0, 0]]),
        np.array([[0, 0], [0, 0], [9, 9]]),
        np.array([4, 4, 0]),
        np.array([8, 8, 9]),
    )
    assert opis(counts) == pytest.approx(1 / 36)
    assert opis(ClassCounts(*(each[1:] for each in vars(counts).values()))) is None


def test_inconsistency_equals_a_plain_loop() -> None:
    search, x = separated(1, 120, 0.8)
    pairs = PairSet(search, x, x)
    points = opis_points(Roc.of(count_pairs(pairs)))
    assert points is not None
    counts = count_by_class(pairs, points)
    utilities = np.zeros((7, len(points)))
    scored = by_loop(search, x, x, once=False)
    for label in range(7):
        own = np.array([s for c, same, s in scored if c == label and same])
        other = np.array([s for c, same, s in scored if c == label and not same])
        for column, point in enumerate(points):
            bar = (2 * point - 1) / STEPS - 1
            tpr, tnr = np.mean(own >= bar), np.mean(other < bar)
            utilities[label, column] = 2 * tpr * tnr / (tpr + tnr)
    squares = np.mean((utilities - utilities.mean(axis=0)) ** 2, axis=0)
    area = np.trapezoid(squares, dx=1 / (len(points) - 1))
    assert opis(counts) == pytest.approx(area, rel=0.02)
    # The range that is compared: from a tenth falsely accepted to a hundredth.
    rates = counts.negative.sum(axis=0) / counts.num_negative.sum()
    assert rates[0] == pytest.approx(0.1, rel=0.02)
    assert rates[-1] == pytest.approx(0.01, rel=0.05)


def test_inconsistency_needs_pairs_for_its_range() -> None:
    assert opis_points(Roc.of(histogram({0.9: 5}, {0.1: 999}))) is None
