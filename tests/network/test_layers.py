import keras
import numpy as np
import pytest
import tensorflow as tf

from dce_tf.network.layers import DivideConquerEmbedding, GeneralizedMeanPooling

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(5, 12)).astype(np.float32)


@pytest.fixture
def layer() -> DivideConquerEmbedding:
    keras.utils.set_random_seed(0)
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


def projected(layer: DivideConquerEmbedding) -> np.ndarray:
    kernel, bias = layer.get_weights()[:2]
    return FEATURES @ kernel + bias


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.fixture
def masked() -> DivideConquerEmbedding:
    keras.utils.set_random_seed(0)
    layer = DivideConquerEmbedding(6, num_learners=4, parts="masks")
    layer.build((None, 12))
    return layer


def test_masks_begin_as_the_whole_embedding(masked: DivideConquerEmbedding) -> None:
    whole = unit(projected(masked))
    np.testing.assert_allclose(masked(FEATURES), whole, atol=1e-6)
    for learner in range(4):
        part = masked(FEATURES, learner=tf.constant(learner))
        np.testing.assert_allclose(part, whole, atol=1e-6)


def test_mask_weighs_the_components_of_its_learner(
    masked: DivideConquerEmbedding,
) -> None:
    masks = RNG.normal(size=(4, 6)).astype(np.float32)
    masks[:, 0] = 0.5
    masked.masks.assign(masks)
    for learner in range(4):
        expected = unit(np.maximum(masks[learner], 0) * projected(masked))
        part = masked(FEATURES, learner=tf.constant(learner))
        np.testing.assert_allclose(part, expected, atol=1e-6)
    np.testing.assert_allclose(masked(FEATURES), unit(projected(masked)), atol=1e-6)


def test_gradient_reaches_only_the_learners_mask(
    masked: DivideConquerEmbedding,
) -> None:
    with tf.GradientTape() as tape:
        part = masked(FEATURES, learner=tf.constant(2))
        loss = tf.reduce_sum(part * tf.range(6.0))
    gradient = tf.convert_to_tensor(tape.gradient(loss, masked.masks)).numpy()
    assert np.any(gradient[2])
    assert not np.any(gradient[[0, 1, 3]])


def penalty_by_loop(masks: np.ndarray) -> float:
    rows = [np.maximum(mask, 0) for mask in masks]
    cosines = [
        a @ b / (np.linalg.norm(a) * np.linalg.norm(b))
        for i, a in enumerate(rows)
        for j, b in enumerate(rows)
        if i != j
    ]
    return float(np.mean(cosines)) if cosines else 0.0


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_mask_penalty_is_the_mean_cosine_of_pairs(
    masked: DivideConquerEmbedding, count: int
) -> None:
    masks = RNG.normal(0.3, 1, size=(4, 6)).astype(np.float32)
    masked.masks.assign(masks)
    expected = penalty_by_loop(masks[:count])
    assert float(masked.mask_penalty(count)) == pytest.approx(expected, abs=1e-5)
    if count == 4:
        assert float(masked.mask_penalty()) == pytest.approx(expected, abs=1e-5)


def test_mask_penalty_can_move_one_mask_only(masked: DivideConquerEmbedding) -> None:
    masked.masks.assign(RNG.uniform(0.1, 1, size=(4, 6)))
    with tf.GradientTape() as tape:
        penalty = masked.mask_penalty(4, learner=tf.constant(1))
    gradient = tape.gradient(penalty, masked.masks).numpy()
    assert np.any(gradient[1])
    assert not np.any(gradient[[0, 2, 3]])
    with tf.GradientTape() as tape:
        same = masked.mask_penalty(4)
    assert float(same) == pytest.approx(float(penalty), abs=1e-6)
    assert np.any(tape.gradient(same, masked.masks).numpy()[0])


def test_slices_have_no_mask_penalty(layer: DivideConquerEmbedding) -> None:
    with pytest.raises(ValueError, match="needs parts='masks'"):
        layer.mask_penalty()


def test_fixed_masks_are_slices_that_do_not_train() -> None:
    layer = DivideConquerEmbedding(6, num_learners=3, parts="fixed_masks")
    layer.build((None, 12))
    assert len(layer.trainable_variables) == 2
    part = layer(FEATURES, learner=tf.constant(1)).numpy()
    expected = np.zeros((5, 6))
    expected[:, 2:4] = unit(projected(layer)[:, 2:4])
    np.testing.assert_allclose(part, expected, atol=1e-6)


def test_fixed_masks_halve_as_the_division_grows() -> None:
    layer = DivideConquerEmbedding(8, num_learners=4, parts="fixed_masks")
    layer.build((None, 12))
    for count in (1, 2, 4):
        layer.set_masks(count)
        masks = layer.masks.numpy()
        owners = masks[:count].argmax(axis=0)
        np.testing.assert_array_equal(owners, np.arange(8) // (8 // count))
        np.testing.assert_array_equal(masks[:count].sum(axis=0), 1)


def test_layer_with_masks_is_saved(tmp_path, masked: DivideConquerEmbedding) -> None:
    masked.masks.assign(RNG.normal(size=(4, 6)))
    inputs = keras.Input((12,))
    keras.Model(inputs, masked(inputs)).save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras").layers[-1]
    np.testing.assert_array_equal(loaded.masks, masked.masks)
    learner = tf.constant(3)
    np.testing.assert_array_equal(
        loaded(FEATURES, learner=learner), masked(FEATURES, learner=learner)
    )


def test_unknown_parts_are_refused() -> None:
    with pytest.raises(ValueError, match="slices, nested, masks, fixed_masks"):
        DivideConquerEmbedding(8, 2, parts="mask")


@pytest.mark.parametrize("p", [1.0, 3.0, 7.5])
def test_generalised_mean_is_a_power_mean(p: float) -> None:
    maps = np.random.default_rng(0).uniform(0, 9, (2, 3, 4, 5)).astype(np.float32)
    expected = np.mean(maps.astype(float) ** p, axis=(1, 2)) ** (1 / p)
    np.testing.assert_allclose(GeneralizedMeanPooling(p)(maps), expected, rtol=1e-4)


def test_generalised_mean_is_finite_at_zero_and_at_large_values() -> None:
    maps = np.zeros((2, 3, 3, 4), np.float32)
    maps[1] = 1e20
    pool = GeneralizedMeanPooling()
    watched = tf.constant(maps)
    with tf.GradientTape() as tape:
        tape.watch(watched)
        pooled = pool(watched)
        total = tf.reduce_sum(pooled)
    np.testing.assert_allclose(pooled[1], 1e20, rtol=1e-4)
    for gradient in tape.gradient(total, [watched, pool.p]):
        assert np.all(np.isfinite(gradient))


def test_nested_learners_are_the_first_numbers() -> None:
    layer = DivideConquerEmbedding(8, num_learners=4, parts="nested")
    layer.build((None, 12))
    whole = layer(FEATURES).numpy()
    for learner in range(4):
        part = layer(FEATURES, learner=tf.constant(learner)).numpy()
        first = whole[:, : 2 * learner + 2]
        first = first / np.linalg.norm(first, axis=1, keepdims=True)
        np.testing.assert_allclose(part[:, : 2 * learner + 2], first, atol=1e-6)
        assert not np.any(part[:, 2 * learner + 2 :])
    assert "masks" not in [each.name for each in layer.trainable_variables]


def test_heads_are_beside_the_embedding() -> None:
    layer = DivideConquerEmbedding(7, 2, parts="heads", head_units=9)
    layer.build((None, 12))
    assert layer(FEATURES).shape == (5, 7)
    head = FEATURES @ np.array(layer.head_kernel)[:, 9:]
    head /= np.linalg.norm(head, axis=1, keepdims=True)
    np.testing.assert_allclose(layer(FEATURES, learner=1), head, atol=1e-5)


def test_nearness_is_a_softmax_of_distances() -> None:
    layer = DivideConquerEmbedding(6, 3, keep_centroids=True)
    layer.build((None, 12))
    centroids = RNG.normal(size=(3, 12)).astype(np.float32)
    centroids[1] = 0  # Merged away.
    layer.centroids.assign(centroids)
    unit = FEATURES / np.linalg.norm(FEATURES, axis=1, keepdims=True)
    distances = ((unit[:, None] - centroids) ** 2).sum(axis=2)
    weights = np.exp(-distances / 0.5) * [1, 0, 1]
    expected = weights / weights.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(layer.nearness(FEATURES, 0.5), expected, atol=1e-5)
    with pytest.raises(ValueError, match="keep_centroids"):
        DivideConquerEmbedding(6, 3).nearness(FEATURES, 0.5)


@pytest.mark.parametrize(("parts", "width"), [("heads", 0), ("slices", 4)])
def test_head_units_are_of_heads_alone(parts: str, width: int) -> None:
    with pytest.raises(ValueError, match="head_units"):
        DivideConquerEmbedding(8, 2, parts, head_units=width)
