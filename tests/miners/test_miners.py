import numpy as np
import pytest
import tensorflow as tf

from dce_tf.base.errors import UsageError
from dce_tf.batch.distances import label_masks, pairwise_distances
from dce_tf.losses.base import Space
from dce_tf.losses.choose import build_loss
from dce_tf.miners import MINERS, Candidates
from dce_tf.miners.distance_weighted import DistanceWeighted

LABELS = np.repeat(np.arange(5), 4).astype(np.int32)


def distances(seed: int, dim: int = 8) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(len(LABELS), dim)).astype(np.float32)
    return pairwise_distances(x / np.linalg.norm(x, axis=1, keepdims=True)).numpy()


def mine(name: str, given: np.ndarray, labels: np.ndarray = LABELS, seed: int = 0):
    masks = label_masks(tf.constant(labels))
    pairs = MINERS.build(name)(
        Candidates(tf.constant(given), *masks, 8, tf.constant([seed, 0]))
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


def pairs_of(anchor: int) -> tuple[list[int], list[int]]:
    others = [o for o in range(len(LABELS)) if o != anchor]
    own = [o for o in others if LABELS[o] == LABELS[anchor]]
    return own, [o for o in others if LABELS[o] != LABELS[anchor]]


def hard(d, own, rest):
    return [max(own, key=d.__getitem__)], [min(rest, key=d.__getitem__)]


def semi_hard(d, own, rest):
    return own, [n for n in rest if any(0 < d[n] - d[p] < 0.2 for p in own)]


def easy_positive(d, own, rest, negatives="semi_hard"):
    nearest = min(own, key=d.__getitem__)
    if negatives == "all":
        return [nearest], rest
    behind = [n for n in rest if d[n] > d[nearest]]
    chosen = behind if negatives == "semi_hard" and behind else rest
    return [nearest], [min(chosen, key=d.__getitem__)]


def multi_similarity(d, own, rest):
    s = 1 - d**2 / 2
    least, most = min(s[p] for p in own), max(s[n] for n in rest)
    return (
        [p for p in own if s[p] - 0.1 < most],
        [n for n in rest if s[n] + 0.1 > least],
    )


CHOOSE = {
    "hard": hard,
    "semi_hard": semi_hard,
    "easy_positive": easy_positive,
    "easy_positive(negatives=hard)": lambda *a: easy_positive(*a, negatives="hard"),
    "easy_positive(negatives=all)": lambda *a: easy_positive(*a, negatives="all"),
    "multi_similarity": multi_similarity,
}


@pytest.mark.parametrize("dim", [3, 8])
@pytest.mark.parametrize("spec", CHOOSE)
def test_chooses_as_a_plain_loop(spec: str, dim: int) -> None:
    for seed in range(5):
        given = distances(seed, dim)
        expected = np.zeros((2, *given.shape))
        for anchor in range(len(LABELS)):
            chosen = CHOOSE[spec](given[anchor], *pairs_of(anchor))
            for mask, others in zip(expected, chosen, strict=True):
                mask[anchor, others] = 1
        np.testing.assert_array_equal(mine(spec, given), expected)


def test_semi_hard_looks_only_within_its_margin() -> None:
    given = np.zeros((4, 4), np.float32)
    given[0] = [0, 0.5, 0.6, 0.8]
    labels = np.array([0, 0, 1, 2], np.int32)
    assert mine("semi_hard(margin=0.2)", given, labels)[1][0].tolist() == [0, 0, 1, 0]
    assert mine("semi_hard(margin=0.4)", given, labels)[1][0].tolist() == [0, 0, 1, 1]
    assert mine("semi_hard(margin=0.05)", given, labels)[1][0].tolist() == [0] * 4


def test_easy_positive_refuses_other_negatives() -> None:
    with pytest.raises(UsageError, match="semi_hard, hard, all"):
        MINERS.build("easy_positive(negatives=soft)")


@pytest.mark.parametrize("name", list(MINERS))
def test_every_miner_takes_others_than_the_anchors(name: str) -> None:
    x = np.random.default_rng(0).normal(size=(9, 4))
    given = np.linalg.norm(x[:3, None] - x[None, 3:], axis=2).astype(np.float32) / 4
    same = np.array([0, 1, 2])[:, None] == np.array([0, 0, 1, 1, 3, 3])
    pairs = MINERS.build(name)(
        Candidates(tf.constant(given), same, ~same, 4, tf.constant([0, 0]))
    )
    assert pairs.positive.shape == pairs.negative.shape == (3, 6)
    assert not np.any(pairs.positive.numpy()[~same])
    assert not np.any(pairs.negative.numpy()[same])


def nearest_by_loop(given: np.ndarray, cutoff: float, fill: bool) -> np.ndarray:
    chosen = np.zeros_like(given)
    for anchor, label in enumerate(LABELS):
        others = [other for other in range(len(LABELS)) if LABELS[other] != label]
        far = [other for other in others if given[anchor, other] > cutoff]
        near = [other for other in others if other not in far]
        far.sort(key=lambda other: given[anchor, other])
        near.sort(key=lambda other: -given[anchor, other])
        taken = far + near if fill else far
        chosen[anchor, taken[:3]] = 1
    return chosen


@pytest.mark.parametrize("fill", [True, False])
@pytest.mark.parametrize("cutoff", [0.5, 1.2, 1.9])
def test_nearest_equals_a_plain_loop(cutoff: float, fill: bool) -> None:
    for seed in range(5):
        given = distances(seed)
        _, negative = mine(f"nearest(cutoff={cutoff}, fill={fill})", given)
        np.testing.assert_array_equal(negative, nearest_by_loop(given, cutoff, fill))


def test_nearest_fills_up_with_negatives_only() -> None:
    # METHOD: the reference fills up with the anchor itself or with positives.
    given = np.full((5, 5), 0.1, np.float32)
    given[0, 3] = given[3, 0] = 0.9
    labels = np.array([0, 0, 0, 1, 1], np.int32)
    expected = np.zeros((5, 5))
    expected[0, 3] = expected[3, 0] = 1
    _, negative = mine("nearest(fill=False)", given, labels)
    np.testing.assert_array_equal(negative, expected)
    _, negative = mine("nearest", given, labels)
    np.testing.assert_array_equal(negative.sum(axis=1), [2, 2, 2, 1, 1])
    assert not np.any(negative[labels[:, None] == labels])


def test_a_collapsed_network_is_pushed_apart() -> None:
    rng = np.random.default_rng(0)
    near = 1 + 0.01 * rng.normal(size=(len(LABELS), 8)).astype(np.float32)
    for fill, moves in ((True, True), (False, False)):
        loss = build_loss(f"margin(miner='nearest(fill={fill})')", Space(8), 5)
        with tf.GradientTape() as tape:
            embedding = tf.Variable(near)
            unit = tf.math.l2_normalize(embedding, axis=1)
            value = loss(LABELS, unit)
        assert (float(value) > 0.5) == moves
        assert bool(np.any(tape.gradient(value, embedding))) == moves


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
    miner, masks = MINERS.build("distance_weighted"), label_masks(tf.constant(labels))

    @tf.function
    def drawn_by_the_first(seed: tf.Tensor) -> tf.Tensor:
        return miner(Candidates(tf.constant(given), *masks, 8, seed)).negative[0]

    total = sum(
        drawn_by_the_first(tf.constant([seed, 0])).numpy() for seed in range(3000)
    )
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
