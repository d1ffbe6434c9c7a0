import numpy as np
import tensorflow as tf

from dce_tf.batch.distances import label_masks, pairwise_distances


def test_distances_equal_a_plain_loop() -> None:
    x = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    expected = [[np.linalg.norm(a - b) for b in x] for a in x]
    np.testing.assert_allclose(pairwise_distances(x), expected, atol=2e-3)


def test_gradient_is_finite_between_duplicates() -> None:
    x = tf.constant([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(pairwise_distances(x))
    assert np.all(np.isfinite(tape.gradient(total, x)))


def test_an_image_and_itself_are_no_pair() -> None:
    positive, negative = label_masks(tf.constant([0, 0, 1]))
    np.testing.assert_array_equal(positive, [[0, 1, 0], [1, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(negative, [[0, 0, 1], [0, 0, 1], [1, 1, 0]])
