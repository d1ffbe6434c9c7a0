import numpy as np
import pytest

from dce_tf.retrieval import bootstrap_intervals


def test_classes_are_resampled_not_queries() -> None:
    # Two of four classes always hit: the mean of four draws of 0 or 1.
    labels = np.repeat(np.arange(4), 100).astype(np.int32)
    values = {"recall@1": (labels < 2).astype(float)}
    low, high = bootstrap_intervals(values, labels)["recall@1"]
    assert (low, high) == (0, 1)


def test_interval_of_many_classes_equals_the_normal_one() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(2000, dtype=np.int32)
    values = rng.random(2000)
    low, high = bootstrap_intervals({"map": values}, labels, num_draws=9000)["map"]
    width = 1.96 * values.std() / 2000**0.5
    assert low == pytest.approx(values.mean() - width, abs=0.1 * width)
    assert high == pytest.approx(values.mean() + width, abs=0.1 * width)


def test_large_classes_weigh_as_in_the_mean() -> None:
    labels = np.repeat([0, 1], [99, 1]).astype(np.int32)
    values = {"recall@1": (labels == 0).astype(float), "map": np.full(100, 0.25)}
    intervals = bootstrap_intervals(values, labels)
    assert intervals["recall@1"] == (0, 1)
    assert intervals["map"] == (0.25, 0.25)


def test_same_seed_gives_the_same_interval() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(9, size=50).astype(np.int32)
    values = {"map": rng.random(50)}
    first, again, other = (
        bootstrap_intervals(values, labels, seed=seed) for seed in (0, 0, 1)
    )
    assert first == again != other
