import numpy as np
import pytest
import scipy.stats

from dce_tf.retrieval import class_intervals
from dce_tf.retrieval.intervals import describe_few


def test_hand_worked_number() -> None:
    # Means of the classes 1, 0.5, 0 and sizes 4, 2, 2: the mean is 5 / 8.
    labels = np.array([0, 0, 0, 0, 1, 1, 2, 2])
    hits = np.array([1.0, 1, 1, 1, 1, 0, 0, 0])
    # What each class has beyond its share: 4 − 2.5, 1 − 1.25, 0 − 1.25.
    error = np.sqrt(3 / 2 * (1.5**2 + 0.25**2 + 1.25**2)) / 8
    reach = 4.302653 * error / (5 / 8 * 3 / 8)
    expected = [1 / (1 + 3 / 5 * np.exp(sign * reach)) for sign in (1, -1)]
    got = class_intervals({"recall@1": hits}, labels)["recall@1"]
    assert got == pytest.approx(expected, abs=1e-6)


def test_classes_count_not_queries() -> None:
    labels = np.repeat(np.arange(4), 100)
    values = {"recall@1": (labels < 2).astype(float)}
    few = class_intervals(values, labels)["recall@1"]
    again = class_intervals({"recall@1": values["recall@1"][::10]}, labels[::10])
    assert few == pytest.approx(again["recall@1"])
    assert few == pytest.approx((0.025, 0.975), abs=0.01)


def test_interval_of_many_classes_equals_the_normal_one() -> None:
    rng = np.random.default_rng(0)
    values = rng.random(2000)
    low, high = class_intervals({"map": values}, np.arange(2000))["map"]
    width = 1.96 * values.std() / 2000**0.5
    assert low == pytest.approx(values.mean() - width, abs=0.01 * width)
    assert high == pytest.approx(values.mean() + width, abs=0.01 * width)


@pytest.mark.parametrize(("value", "expected"), [(1, (0.478, 1)), (0, (0, 0.522))])
def test_nothing_but_hits_or_misses_is_not_certain(value: float, expected) -> None:
    labels = np.repeat(np.arange(5), 3)
    got = class_intervals({"map": np.full(15, float(value))}, labels)["map"]
    assert got == pytest.approx(expected, abs=1e-3)
    one = class_intervals({"map": np.full(15, float(value))}, np.zeros(15, int))
    assert one["map"] == (0, 1)


def test_mean_lies_within() -> None:
    rng = np.random.default_rng(0)
    for number in (2, 3, 8):
        labels = rng.permutation(np.arange(60) % number)
        values = (rng.random(60) < rng.random(number)[labels]).astype(float)
        low, high = class_intervals({"map": values}, labels)["map"]
        assert 0 <= low <= values.mean() <= high <= 1


def bootstrap(values: np.ndarray, labels: np.ndarray, rng) -> tuple[float, float]:
    """Quantiles of means over classes that are drawn with replacement."""
    counts, sums = np.bincount(labels), np.bincount(labels, values)
    drawn = rng.integers(len(counts), size=(400, len(counts)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    return tuple(np.quantile(means, (0.025, 0.975)))


@pytest.mark.parametrize(("a", "b"), [(3, 3), (4, 1), (8, 2), (6, 0.5)])
@pytest.mark.parametrize("num_classes", [5, 20])
def test_coverage_is_as_promised(num_classes: int, a: float, b: float) -> None:
    rng = np.random.default_rng([num_classes, int(10 * a)])
    runs, held, held_by_bootstrap = 500, 0, 0
    for _ in range(runs):
        # Recall of a class from a beta distribution, 3 to 24 queries each.
        sizes = rng.integers(3, 25, num_classes)
        labels = np.repeat(np.arange(num_classes), sizes)
        values = (rng.random(len(labels)) < rng.beta(a, b, num_classes)[labels]) * 1.0
        low, high = class_intervals({"recall@1": values}, labels)["recall@1"]
        held += low <= a / (a + b) <= high
        low, high = bootstrap(values, labels, rng)
        held_by_bootstrap += low <= a / (a + b) <= high
    # 0.93, less what chance does in 500 runs.
    assert held / runs > scipy.stats.binom.ppf(0.001, runs, 0.93) / runs
    if num_classes == 5:
        assert held_by_bootstrap / runs < 0.89


def test_few_classes_are_told() -> None:
    (note,) = describe_few(np.array([0, 0, 4, 4]))
    assert "rest on 2 classes" in note
    assert describe_few(np.arange(10)) == ()
