import keras
import numpy as np
import pytest
import tensorflow as tf

from dce_tf.layers import DivideConquerEmbedding

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(5, 12)).astype(np.float32)


@pytest.fixture
def layer() -> DivideConquerEmbedding:
    layer = DivideConquerEmbedding(8, num_learners=4)
    layer.build((None, 12))
    return layer


def slice_of(layer: DivideConquerEmbedding, learner: int) -> np.ndarray:
    kernel, bias = layer.get_weights()
    columns = slice(2 * learner, 2 * learner + 2)
    projected = FEATURES @ kernel[:, columns] + bias[columns]
    return projected / np.linalg.norm(projected, axis=1, keepdims=True)


def test_learner_is_its_columns_at_unit_length(layer: DivideConquerEmbedding) -> None:
    for learner in range(4):
        result = layer(FEATURES, learner=tf.constant(learner))
        np.testing.assert_allclose(result, slice_of(layer, learner), atol=1e-6)


def test_whole_is_the_learners_side_by_side(layer: DivideConquerEmbedding) -> None:
    expected = np.concatenate([slice_of(layer, k) for k in range(4)], axis=1) / 2
    np.testing.assert_allclose(layer(FEATURES), expected, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(layer(FEATURES), axis=1), 1, rtol=1e-6)


def test_hand_worked_number() -> None:
    layer = DivideConquerEmbedding(4, num_learners=2)
    layer.build((None, 1))
    layer.set_weights([np.array([[3.0, 4.0, 0.0, 2.0]]), np.zeros(4)])
    expected = np.array([[0.6, 0.8, 0.0, 1.0]]) / np.sqrt(2)
    np.testing.assert_allclose(layer(np.ones((1, 1))), expected, rtol=1e-6)


def test_gradient_reaches_only_the_learner(layer: DivideConquerEmbedding) -> None:
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(FEATURES, learner=tf.constant(1)) * [[1.0, 2.0]])
    kernel, bias = tape.gradient(loss, layer.trainable_variables)
    others = [0, 1, 4, 5, 6, 7]
    assert not np.any(kernel.numpy()[:, others])
    assert not np.any(bias.numpy()[others])
    assert np.all(kernel.numpy()[:, [2, 3]] != 0)


def test_learner_as_a_tensor_is_traced_once(layer: DivideConquerEmbedding) -> None:
    traces = []

    @tf.function
    def run(learner: tf.Tensor) -> tf.Tensor:
        traces.append(learner)
        return layer(FEATURES, learner=learner)

    for learner in range(4):
        assert run(tf.constant(learner)).shape == (5, 2)
    assert len(traces) == 1


def test_each_learner_is_initialised_for_its_own_width() -> None:
    keras.utils.set_random_seed(0)
    layer = DivideConquerEmbedding(512, num_learners=64)
    layer.build((None, 100))
    kernel, bias = layer.get_weights()
    assert kernel.std() == pytest.approx((2 / (100 + 8)) ** 0.5, rel=0.02)
    assert np.abs(bias).max() <= 0.1
    assert bias.std() > 0


def test_zero_features_give_finite_gradients() -> None:
    layer = DivideConquerEmbedding(4, num_learners=2)
    layer.build((None, 3))
    layer.set_weights([np.zeros((3, 4)), np.zeros(4)])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(np.zeros((2, 3), np.float32)))
    for gradient in tape.gradient(loss, layer.trainable_variables):
        assert np.all(np.isfinite(gradient))


def test_works_in_anybodys_functional_model_and_is_saved_with_it(tmp_path) -> None:
    inputs = keras.Input((12,))
    learner = keras.Input((), dtype="int32", batch_size=1)
    layer = DivideConquerEmbedding(8, num_learners=4)
    model = keras.Model([inputs, learner], layer(inputs, learner=learner[0]))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    given = [FEATURES, np.array([3])]
    np.testing.assert_array_equal(loaded(given), model(given))
    assert loaded(given).shape == (5, 2)


def test_mixed_precision_keeps_unit_length_in_float32() -> None:
    layer = DivideConquerEmbedding(8, num_learners=2, dtype="mixed_bfloat16")
    result = layer(FEATURES)
    assert result.dtype == tf.float32
    np.testing.assert_allclose(np.linalg.norm(result, axis=1), 1, rtol=1e-5)
    assert layer(FEATURES, learner=tf.constant(1)).shape == (5, 4)


@pytest.mark.parametrize(("units", "learners"), [(7, 3), (0, 1), (4, 0), (4, 8)])
def test_learners_must_be_equal(units: int, learners: int) -> None:
    with pytest.raises(ValueError, match=f"units={units}, num_learners={learners}"):
        DivideConquerEmbedding(units, num_learners=learners)
