import numpy as np
import pytest
import tensorflow as tf

from dce_tf.losses import Space
from dce_tf.losses.cross_batch_memory import CrossBatchMemory


def built(space: Space, **options) -> CrossBatchMemory:
    loss = CrossBatchMemory(**options)
    loss.build(space)
    return loss


def unit(x: np.ndarray) -> np.ndarray:
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def batch(seed: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    return unit(draw.normal(size=(4, 3))), np.array([0, 0, 1, 1], np.int32)


def contrastive(a: np.ndarray, a_labels, b: np.ndarray, b_labels, same_image) -> float:
    pull, push = [], []
    for i in range(len(a)):
        for j in range(len(b)):
            d = float(np.linalg.norm(a[i] - b[j]))
            if a_labels[i] == b_labels[j] and not (same_image and i == j):
                pull.append(d**2)
            elif a_labels[i] != b_labels[j] and d < 1:
                push.append((1 - d) ** 2)
    return sum(np.mean(part) if part else 0 for part in (pull, push))


def test_equals_a_plain_loop_over_a_queue() -> None:
    loss = built(Space(3), size=6, start=2, weight=0.5)
    queue, queue_labels = np.zeros((0, 3)), np.zeros(0)
    for step in range(5):
        x, labels = batch(step)
        expected = contrastive(x, labels, x, labels, same_image=True)
        if step >= 2:
            expected += 0.5 * contrastive(x, labels, queue, queue_labels, False)
        assert float(loss(labels, x)) == pytest.approx(expected, rel=1e-4), step
        queue = np.concatenate([x, queue])[:6]
        queue_labels = np.concatenate([labels, queue_labels])[:6]


def test_gradient_does_not_reach_the_memory() -> None:
    loss = built(Space(3), size=8, start=0)
    assert loss.trainable_variables == []
    first, labels = batch(0)
    second, _ = batch(1)
    x = tf.Variable(first)
    with tf.GradientTape() as tape:
        loss(labels, x)
        value = loss(labels, tf.constant(second))
    assert tape.gradient(value, x) is None


def test_each_learner_and_the_whole_keep_their_own() -> None:
    space = Space(6, num_learners=2, learner_units=3)
    loss = built(space, size=8, start=1)
    x, labels = batch(0)
    y, _ = batch(1)
    alone = built(space, size=8, start=1)
    loss.compute(labels, x, learner=tf.constant(0))
    first = loss.compute(labels, y, learner=tf.constant(1))
    expected = alone.compute(labels, y, learner=tf.constant(1))
    assert float(first) == float(expected), "learner 1 saw what learner 0 kept"
    assert float(loss.compute(labels, y, learner=tf.constant(0))) != float(expected)
    wide = np.concatenate([x, x], axis=1) / 2**0.5
    assert np.isfinite(loss(labels, wide.astype(np.float32)))


def test_a_batch_longer_than_the_memory_keeps_its_first() -> None:
    loss = built(Space(3), size=3, start=0)
    x, labels = batch(0)
    loss(labels, x)
    kept = next(v for v in loss.variables if v.name == "whole_embeddings")
    np.testing.assert_array_equal(kept[0], x[:3])


def test_options_reach_the_inner_loss() -> None:
    loss = built(Space(3), loss="margin(alpha=0.1)", miner="hard")
    assert loss.loss.alpha == 0.1
    assert type(loss.loss.miner).__name__ == "HardPairs"


def test_labels_below_zero_are_classes_and_empty_places_are_none() -> None:
    loss = built(Space(3), size=8, start=0)
    below = built(Space(3), size=8, start=0)
    for step in range(3):
        x, labels = batch(step)
        expected = float(loss(labels, x))
        assert float(below(labels - 1, x)) == expected, step
