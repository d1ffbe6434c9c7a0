"""What every loss must hold to."""

import numpy as np
import pytest
import tensorflow as tf

from dce_tf.losses import LOSSES

LABELS = np.repeat(np.arange(4), 3).astype(np.int32)


def unit(x: np.ndarray) -> np.ndarray:
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


CASES = {
    "random": (unit(np.random.default_rng(0).normal(size=(12, 6))), LABELS),
    "collapsed": (unit(np.ones((12, 6))), LABELS),
    "duplicates": (unit(np.repeat(np.eye(4, 6), 3, axis=0)), LABELS),
    "one class": (unit(np.random.default_rng(1).normal(size=(12, 6))), LABELS * 0),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", list(LOSSES))
def test_loss_and_gradient_are_finite(name: str, case: str) -> None:
    embedding, labels = (tf.constant(array) for array in CASES[case])
    with tf.GradientTape() as tape:
        tape.watch(embedding)
        value = LOSSES.build(name)(embedding, labels, seed=tf.constant([0, 1]))
    assert value.shape == ()
    assert np.isfinite(value)
    assert value >= 0
    assert np.all(np.isfinite(tape.gradient(value, embedding)))


@pytest.mark.parametrize("name", list(LOSSES))
def test_loss_is_computed_in_float32(name: str) -> None:
    embedding = tf.cast(CASES["random"][0], tf.bfloat16)
    assert LOSSES.build(name)(embedding, LABELS, seed=[0, 1]).dtype == tf.float32


@pytest.mark.parametrize("name", list(LOSSES))
def test_descending_the_gradient_lowers_the_loss(name: str) -> None:
    loss = LOSSES.build(name, miner="all")
    x = tf.Variable(CASES["random"][0])
    values = []
    for _ in range(20):
        with tf.GradientTape() as tape:
            value = loss(tf.math.l2_normalize(x, axis=1), LABELS, seed=[0, 1])
        x.assign_sub(0.5 * tape.gradient(value, x))
        values.append(float(value))
    assert values[-1] < values[0]
