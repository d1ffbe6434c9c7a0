import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from dce_tf.network.backbones.folding import FoldedBackbone
from dce_tf.network.layers import DivideConquerEmbedding
from dce_tf.network.model import EmbeddingModel, set_precision

IMAGES = np.random.default_rng(0).uniform(-1, 1, (3, 13, 11, 3)).astype(np.float32)


def network() -> keras.Model:
    images = keras.Input((None, None, 3))
    x = layers.Conv2D(8, 3, 2, padding="same", use_bias=False, name="stem")(images)
    x = layers.ReLU(6)(layers.BatchNormalization(name="stem_norm")(x))
    x = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, name="deep")(x)
    x = layers.ReLU()(layers.BatchNormalization(center=False, name="deep_norm")(x))
    short = layers.Conv2D(12, 1, 2, use_bias=True, name="short")(x)
    short = layers.BatchNormalization(scale=False, name="short_norm")(short)
    x = layers.Conv2D(16, 1, groups=2, name="grouped")(x)
    x = layers.ReLU()(layers.BatchNormalization(name="grouped_norm")(x))
    x = layers.ZeroPadding2D(1)(x)
    x = layers.Conv2D(12, 3, 2, name="last")(x)
    x = layers.Add()([layers.BatchNormalization(name="last_norm")(x), short])
    return disturbed(keras.Model(images, layers.Dropout(0.5)(x)))


def disturbed(model: keras.Model) -> keras.Model:
    rng = np.random.default_rng(1)
    for weight in model.weights:
        drawn = rng.normal(1, 0.2, weight.shape)
        weight.assign(drawn if "variance" in weight.path else drawn - 0.9)
    return model


def results(
    run: object, variables: list[keras.Variable]
) -> tuple[np.ndarray, list[np.ndarray]]:
    with tf.GradientTape() as tape:
        maps = run(IMAGES)
        loss = tf.reduce_sum(tf.sin(maps))
    gradients = tape.gradient(loss, [variable.value for variable in variables])
    return maps.numpy(), [gradient.numpy() for gradient in gradients]


@pytest.mark.parametrize("training", [False, True])
def test_maps_and_gradients_are_those_of_the_layers(training: bool) -> None:
    model = network()
    folded = FoldedBackbone(model)
    assert folded.num_folded == 5
    variables = model.trainable_variables
    maps, gradients = results(lambda images: model(images, training=False), variables)
    found, others = results(lambda images: folded(images, training), variables)
    np.testing.assert_allclose(found, maps, rtol=1e-4, atol=1e-5)
    for variable, gradient, other in zip(variables, gradients, others, strict=True):
        np.testing.assert_allclose(
            other, gradient, rtol=1e-3, atol=1e-4, err_msg=variable.path
        )


def test_network_in_a_network_is_folded() -> None:
    inner = network()
    images = keras.Input((None, None, 3))
    outer = keras.Model(images, inner(layers.Rescaling(0.5)(images)))
    folded = FoldedBackbone(outer)
    assert folded.num_folded == 5
    expected = outer(IMAGES, training=False)
    np.testing.assert_allclose(folded(IMAGES), expected, rtol=1e-4, atol=1e-5)


def test_what_others_look_at_is_not_folded() -> None:
    images = keras.Input((None, None, 3))
    seen_twice = layers.Conv2D(4, 3, padding="same")(images)
    normed = layers.BatchNormalization()(seen_twice)
    bent = layers.Conv2D(4, 3, padding="same", activation="relu")(normed)
    shared = layers.Conv2D(4, 1)
    once = layers.BatchNormalization()(shared(layers.BatchNormalization()(bent)))
    last = shared(once)
    model = disturbed(keras.Model(images, layers.Add()([seen_twice, last])))
    folded = FoldedBackbone(model)
    assert folded.num_folded == 0
    np.testing.assert_array_equal(folded(IMAGES), model(IMAGES, training=False))


def test_model_of_two_results_is_called_as_it_is() -> None:
    images = keras.Input((None, None, 3))
    maps = layers.Conv2D(4, 3)(images)
    normed = layers.BatchNormalization()(maps)
    folded = FoldedBackbone(keras.Model(images, [maps, normed]))
    assert folded.num_folded == 0
    assert len(folded(IMAGES)) == 2


def test_model_that_is_no_graph_is_called_as_it_is() -> None:
    model = keras.Sequential([layers.Conv2D(4, 3), layers.BatchNormalization()])
    model.build((None, 13, 11, 3))
    folded = FoldedBackbone(model)
    assert folded.num_folded == 0
    np.testing.assert_array_equal(folded(IMAGES), model(IMAGES, training=False))


@pytest.mark.parametrize("frozen", [True, False])
def test_only_frozen_batch_norm_is_folded(frozen: bool) -> None:
    backbone = network()
    model = EmbeddingModel(
        backbone, DivideConquerEmbedding(4), freeze_batch_norm=frozen, dropout=0
    )
    model.build((None, 13, 11, 3))
    norm = backbone.get_layer("stem_norm")
    before = np.array(norm.moving_mean)
    trained = model.features(tf.constant(IMAGES), training=True)
    assert (np.array(norm.moving_mean) == before).all() == frozen
    expected = backbone(IMAGES, training=False)
    expected = tf.reduce_mean(expected, (1, 2))
    alike = np.allclose(trained, expected, rtol=1e-4, atol=1e-4)
    assert alike == frozen


def test_half_precision_computes_in_it() -> None:
    model = network()
    expected = model(IMAGES, training=False).numpy()
    set_precision(model, "mixed_bfloat16")
    for training in (False, True):
        maps = FoldedBackbone(model)(IMAGES, training)
        assert maps.dtype == tf.bfloat16
        gap = np.abs(tf.cast(maps, tf.float32) - expected)
        assert gap.max() < 0.05 * np.abs(expected).max()


def test_loaded_model_is_the_saved_one(tmp_path: object) -> None:
    model = EmbeddingModel(network(), DivideConquerEmbedding(4))
    model.build((None, 13, 11, 3))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(IMAGES), model(IMAGES), atol=1e-6)
