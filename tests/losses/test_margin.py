import numpy as np
import pytest
import tensorflow as tf

from dce_tf.base.errors import UsageError
from dce_tf.batch.distances import label_masks
from dce_tf.losses import Space
from dce_tf.losses.margin import MarginLoss
from dce_tf.miners import MINERS, Candidates


def unit(x: np.ndarray) -> np.ndarray:
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def by_loop(x, labels, positive, negative, alpha: float, beta: float) -> float:
    total, active = 0.0, 0
    for a in range(len(x)):
        for b in range(len(x)):
            distance = np.sqrt(max(np.sum((x[a] - x[b]) ** 2), 1e-8))
            terms = [
                (positive[a, b], distance - beta + alpha),
                (negative[a, b], beta - distance + alpha),
            ]
            for weight, term in terms:
                if weight and term > 0:
                    total += term
                    active += 1
    return total / max(active, 1)


@pytest.mark.parametrize("miner", list(MINERS))
@pytest.mark.parametrize(("alpha", "beta"), [(0.2, 1.2), (0.1, 0.6)])
def test_equals_a_plain_loop(miner: str, alpha: float, beta: float) -> None:
    labels = np.repeat(np.arange(5), 3).astype(np.int32)
    for seed in range(5):
        x = unit(np.random.default_rng(seed).normal(size=(15, 4)))
        loss = MarginLoss(alpha=alpha, beta=beta, miner=miner)
        gap = tf.maximum(2 - 2 * tf.matmul(x, x, transpose_b=True), 1e-8)
        masks = label_masks(tf.constant(labels))
        pairs = loss.miner(Candidates(tf.sqrt(gap), *masks, 4, tf.constant([0, seed])))
        expected = by_loop(x, labels, *(part.numpy() for part in pairs), alpha, beta)
        got = loss.compute(labels, x, seed=tf.constant([0, seed]))
        assert float(got) == pytest.approx(expected, rel=1e-4)


def test_hand_worked_number() -> None:
    # At right angles all are √2 apart. Two ordered positive pairs, each √2 − 1 above
    # β − α = 1; negatives are farther than β + α = 1.4, so they are not counted.
    x = np.eye(3, dtype=np.float32)
    loss = MarginLoss(alpha=0.2, beta=1.2, miner="all")
    assert float(loss([0, 0, 1], x)) == pytest.approx(2**0.5 - 1.0, abs=1e-6)


def test_active_terms_of_both_kinds_are_counted() -> None:
    # METHOD: the reference's count became a logical OR. Here one pair of each kind is
    # active between the same two images: positives 0 ↔ 1 and negatives 0 ↔ 2, 1 ↔ 2.
    angle = np.array([0.0, 1.6, 0.8])
    x = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    far, near = 2 * np.sin(0.8), 2 * np.sin(0.4)
    expected = (2 * (far - 1.0) + 4 * (1.4 - near)) / 6
    assert float(MarginLoss(miner="all")([0, 0, 1], x)) == pytest.approx(
        expected, rel=1e-5
    )


def test_no_active_pair_gives_zero() -> None:
    x = np.array([[1, 0], [1, 0], [-1, 0], [-1, 0]], np.float32)
    assert float(MarginLoss(miner="all")([0, 0, 1, 1], x)) == 0


@pytest.mark.parametrize("nu", [0.0, 0.3])
def test_boundary_of_each_class_equals_a_plain_loop(nu: float) -> None:
    labels = np.repeat(np.arange(3), 4).astype(np.int32)
    x = unit(np.random.default_rng(3).normal(size=(12, 4)))
    betas = np.array([0.8, 1.1, 1.4], np.float32)
    loss = MarginLoss(learn_beta="class", nu=nu, miner="all", num_classes=3)
    loss.build(Space(4))
    loss.beta.assign(betas)
    total, active = 0.0, 0
    for a in range(12):
        for b in range(12):
            gap = np.linalg.norm(x[a] - x[b]) - betas[labels[a]]
            term = (gap if labels[a] == labels[b] else -gap) + 0.2
            if a != b and term > 0:
                total += term
                active += 1
    expected = total / active + nu * np.mean(betas[labels])
    assert float(loss(labels, x)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("kind", "shape"), [("one", ()), ("class", (3,))])
def test_learned_boundary_moves_and_nu_lowers_it(kind: str, shape: tuple) -> None:
    labels = np.repeat(np.arange(3), 4).astype(np.int32)
    x = unit(np.random.default_rng(3).normal(size=(12, 4)))
    gradients = []
    for nu in (0.0, 0.5):
        loss = MarginLoss(learn_beta=kind, nu=nu, miner="all", num_classes=3)
        loss.build(Space(4))
        (beta,) = loss.trainable_variables
        assert tuple(beta.shape) == shape
        with tf.GradientTape() as tape:
            value = loss(labels, x)
        gradients.append(tf.convert_to_tensor(tape.gradient(value, beta)).numpy())
    assert np.all(gradients[0] != 0)
    assert np.sum(gradients[1] - gradients[0]) == pytest.approx(0.5, rel=1e-4)


def test_fixed_boundary_is_no_variable() -> None:
    assert MarginLoss().trainable_variables == []


def test_a_boundary_a_class_needs_the_classes() -> None:
    with pytest.raises(UsageError, match="number of classes"):
        MarginLoss(learn_beta="class")
