import keras
import numpy as np
import tensorflow as tf

from dce_tf.network.backbones import build_backbone
from dce_tf.network.layers import DivideConquerEmbedding
from dce_tf.network.model import EmbeddingModel

IMAGES = np.random.default_rng(0).uniform(0, 255, (3, 32, 32, 3)).astype(np.float32)


def make(dropout: float = 0.0) -> EmbeddingModel:
    embedding = DivideConquerEmbedding(8, 2)
    model = EmbeddingModel(build_backbone("small"), embedding, dropout=dropout)
    model.build((None, 32, 32, 3))
    return model


def test_features_are_the_mean_of_the_map() -> None:
    model = make()
    expected = model.backbone(IMAGES).numpy().mean(axis=(1, 2))
    np.testing.assert_allclose(model.features(IMAGES), expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(model(IMAGES), model.embed(model.features(IMAGES)))


def test_backbone_that_gives_vectors_is_not_pooled() -> None:
    inputs = keras.Input((32, 32, 3))
    vectors = keras.layers.GlobalMaxPooling2D()(inputs)
    model = EmbeddingModel(keras.Model(inputs, vectors), DivideConquerEmbedding(4))
    model.build((None, 32, 32, 3))
    np.testing.assert_array_equal(model.features(IMAGES), IMAGES.max(axis=(1, 2)))


def test_features_are_dropped_in_training_only() -> None:
    model = make(dropout=0.5)
    np.testing.assert_array_equal(model(IMAGES), model(IMAGES))
    assert np.any(model(IMAGES, training=True).numpy() != model(IMAGES).numpy())


def test_learner_is_passed_on() -> None:
    model = make()
    part = model(IMAGES, learner=tf.constant(1))
    expected = model.embedding(model.features(IMAGES), learner=tf.constant(1))
    np.testing.assert_array_equal(part, expected)


def test_saved_model_is_the_same(tmp_path) -> None:
    model = make(dropout=0.25)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(IMAGES), model(IMAGES))
    assert loaded.dropout.rate == 0.25
    assert loaded.embedding.num_learners == 2
