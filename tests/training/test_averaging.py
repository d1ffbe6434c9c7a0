import keras
import numpy as np
import pytest
import tensorflow as tf

from dce_tf.training.averaging import AveragedEmbedder, WeightAverage


def test_average_equals_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    variable = keras.Variable(rng.normal(size=3), dtype="float32")
    average, expected = WeightAverage([variable], 0.9), variable.numpy()
    for step in range(200):
        variable.assign(rng.normal(size=3))
        average.update(tf.constant(step))
        keep = min(0.9, (1 + step) / (10 + step))
        expected = keep * expected + (1 - keep) * variable.numpy()
        # At each step: where they end, the first ones no longer show.
        np.testing.assert_allclose(average.variables[0], expected, rtol=1e-4, atol=1e-6)


def test_first_steps_replace_nearly_all_of_the_average() -> None:
    variable = keras.Variable(np.zeros(1), dtype="float32")
    average = WeightAverage([variable], 0.999)
    variable.assign(np.ones(1))
    reached = []
    for step in range(3):
        average.update(tf.constant(step))
        reached.append(float(average.variables[0].numpy()[0]))
    # It keeps 1/10, then 2/11, then 3/12 of itself.
    np.testing.assert_allclose(
        reached, [0.9, 1 - 0.1 * 2 / 11, 1 - 0.1 * 2 / 11 * 3 / 12], rtol=1e-6
    )


def test_average_stands_in_for_a_while_and_the_weights_come_back() -> None:
    variable = keras.Variable(np.ones(2), dtype="float32")
    average = WeightAverage([variable], 0.9)
    variable.assign(np.full(2, 5.0))
    with average.in_place():
        np.testing.assert_array_equal(variable, 1)
    np.testing.assert_array_equal(variable, 5)
    np.testing.assert_array_equal(average.variables[0], 1)
    with pytest.raises(RuntimeError, match="stop"), average.in_place():
        raise RuntimeError("stop")
    np.testing.assert_array_equal(variable, 5)


def test_embeds_with_the_average() -> None:
    variable = keras.Variable(np.ones(2), dtype="float32")
    average = WeightAverage([variable], 0.9)
    variable.assign(np.full(2, 5.0))

    class Inner:
        def embeddings(self, paths, on_batch=lambda _: None) -> np.ndarray:
            on_batch(len(paths))
            return variable.numpy()

    seen: list[int] = []
    got = AveragedEmbedder(Inner(), average).embeddings(["a", "b"], seen.append)
    np.testing.assert_array_equal(got, 1)
    assert seen == [2]
