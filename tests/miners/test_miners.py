import numpy as np
import pytest
import tensorflow as tf

from dce_tf.distances import pairwise_distances
from dce_tf.miners import MINERS
from dce_tf.miners.distance_weighted import DistanceWeighted

LABELS = np.repeat(np.arange(5), 4).astype(np.int32)


def distances(seed: int, dim: int = 8) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(len(LABELS), dim)).astype(np.float32)
    return pairwise_distances(x / np.linalg.norm(x, axis=1, keepdims=True)).numpy()


def mine(name: str, given: np.ndarray, labels: np.ndarray = LABELS, seed: int = 0):
    pairs = MINERS.build(name)(
        tf.constant(given), tf.constant(labels), 8, tf.constant([seed, 0])
    )
    return pairs.positive.numpy(), pairs.negative.numpy()


@pytest.mark.parametrize("name", list(MINERS))
def test_every_miner_keeps_to_the_contract(name: str) -> None:
    for seed in range(5):
        positive, negative = mine(name, distances(seed), seed=seed)
        same = LABELS[:, None] == LABELS
        assert positive.shape == negative.shape == same.shape
        assert not np.any(positive[~same])
        assert not np.any(np.diag(positive))
        assert not np.any(negative[same]), "an anchor or positive taken as negative"
        assert np.all(positive >= 0)
        assert np.all(negative >= 0)
        assert positive.any()
        assert negative.any()


@pytest.mark.parametrize("name", list(MINERS))
def test_every_miner_survives_a_batch_of_one_class(name: str) -> None:
    labels = np.zeros(4, np.int32)
    _, negative = mine(name, np.zeros((4, 4), np.float32), labels)
    assert not negative.any()


def test_all_takes_every_pair_once() -> None:
    positive, negative = mine("all", distances(0))
    same = LABELS[:, None] == LABELS
    np.testing.assert_array_equal(positive, same & ~np.eye(len(LABELS), dtype=bool))
    np.testing.assert_array_equal(negative, ~same)


def nearest_by_loop(given: np.ndarray, cutoff: float) -> np.ndarray:
    chosen = np.zeros_like(given)
    for anchor, label in enumerate(LABELS):
        others = [
            other
            for other in range(len(LABELS))
            if LABELS[other] != label and given[anchor, other] > cutoff
        ]
        others.sort(key=lambda other: given[anchor, other])
        chosen[anchor, others[:3]] = 1
    return chosen


@pytest.mark.parametrize("cutoff", [0.5, 1.2, 1.9])
def test_nearest_equals_a_plain_loop(cutoff: float) -> None:
    for seed in range(5):
        given = distances(seed)
        _, negative = mine(f"nearest(cutoff={cutoff})", given)
        np.testing.assert_array_equal(negative, nearest_by_loop(given, cutoff))


def test_nearest_takes_fewer_where_fewer_lie_beyond_the_cutoff() -> None:
    # METHOD: the reference fills up with the anchor itself or with positives.
    given = np.full((4, 4), 0.1, np.float32)
    given[0, 2] = given[2, 0] = 0.9
    labels = np.array([0, 0, 1, 1], np.int32)
    _, negative = mine("nearest", given, labels)
    expected = np.zeros((4, 4))
    expected[0, 2] = expected[2, 0] = 1
    np.testing.assert_array_equal(negative, expected)


def test_distance_weights_follow_the_density_on_the_sphere() -> None:
    n, d = 8, 0.9
    density = d ** (n - 2) * (1 - d**2 / 4) ** ((n - 3) / 2)
    got = DistanceWeighted().log_weights(tf.constant([d, 0.5, 0.1, 2.0]), n).numpy()
    assert got[0] == pytest.approx(-np.log(density), rel=1e-5)
    assert got[1] == got[2], "nearer than the cutoff counts as the cutoff"
    assert np.isfinite(got[3])


def test_distance_weighted_draws_in_proportion() -> None:
    given = np.zeros((5, 5), np.float32)
    given[0] = [0, 0.3, 0.7, 0.9, 1.1]
    given = np.maximum(given, given.T)
    labels = np.array([0, 0, 1, 2, 3], np.int32)
    total = np.zeros(5)
    for seed in range(3000):
        total += mine("distance_weighted", given, labels, seed)[1][0]
    weights = DistanceWeighted().log_weights(tf.constant(given[0, 2:]), 8).numpy()
    expected = np.exp(weights) / np.exp(weights).sum()
    np.testing.assert_allclose(total[2:] / 3000, expected, atol=0.03)


def test_distance_weighted_draws_as_many_as_positives_without_repeats() -> None:
    _, negative = mine("distance_weighted(loss_free=2.1)", distances(1))
    np.testing.assert_array_equal(negative.sum(axis=1), 3)
    assert negative.max() == 1


def test_distance_weighted_never_draws_what_has_no_loss() -> None:
    given = distances(1)
    _, negative = mine("distance_weighted", given)
    assert not np.any(negative[given >= 1.4])


def test_same_seed_draws_the_same() -> None:
    first, again, other = (
        mine("distance_weighted(loss_free=2.1)", distances(0), seed=seed)[1]
        for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)
