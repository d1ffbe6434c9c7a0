from collections.abc import Callable
from pathlib import Path

import keras
import pytest

from dce_tf.export import export_saved_model
from dce_tf.network.backbones import build_backbone
from dce_tf.network.layers import DivideConquerEmbedding
from dce_tf.network.model import EmbeddingModel

SIZE = 32


def build_model(**settings: str) -> EmbeddingModel:
    keras.utils.set_random_seed(0)
    model = EmbeddingModel(
        build_backbone("small"), DivideConquerEmbedding(16, 4), **settings
    )
    model.build((None, SIZE, SIZE, 3))
    return model


def build_with_everything() -> EmbeddingModel:
    """Has what other backbones have and some runtimes lack.

    Constants that are no variables, a convolution and a batch norm, of which oneDNN
    makes one op, a convolution in groups, which Keras has XLA compile, an exact GELU, a
    depthwise convolution.
    """
    keras.utils.set_random_seed(0)
    layers = keras.layers
    inputs = keras.Input((SIZE, SIZE, 3))
    x = layers.Normalization(mean=[99.0] * 3, variance=[3600.0] * 3)(inputs)
    x = layers.Conv2D(32, 3, strides=2, use_bias=False)(x)
    x = layers.ReLU(6)(layers.BatchNormalization()(x))
    x = layers.Conv2D(32, 3, groups=8)(x)
    x = layers.Activation("gelu")(x)
    x = layers.Conv2D(32, 3, groups=4, use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.DepthwiseConv2D(3)(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    return _finished(inputs, x)


CONVOLUTIONS = {
    "foldable": lambda: keras.layers.Conv2D(32, 3, use_bias=False),
    "grouped": lambda: keras.layers.Conv2D(32, 3, groups=8),
    "depthwise": lambda: keras.layers.DepthwiseConv2D(3, depth_multiplier=2),
}


def build_with(convolution: str) -> EmbeddingModel:
    """Has one kind of convolution, and after it a batch norm that has seen images."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    inputs = keras.Input((SIZE, SIZE, 3))
    x = layers.Rescaling(1 / 127.5, -1.0)(inputs)
    x = layers.Conv2D(16, 3, strides=2, activation="relu")(x)
    norm = layers.BatchNormalization(
        beta_initializer=keras.initializers.RandomNormal(0, 0.3, seed=1),
        gamma_initializer=keras.initializers.RandomUniform(0.5, 1.5, seed=2),
        moving_mean_initializer=keras.initializers.RandomNormal(0, 0.3, seed=3),
        moving_variance_initializer=keras.initializers.RandomUniform(0.2, 2, seed=4),
    )
    return _finished(inputs, layers.ReLU()(norm(CONVOLUTIONS[convolution]()(x))))


def _finished(inputs: keras.KerasTensor, maps: keras.KerasTensor) -> EmbeddingModel:
    model = EmbeddingModel(keras.Model(inputs, maps), DivideConquerEmbedding(16, 4))
    model.build((None, SIZE, SIZE, 3))
    return model


@pytest.fixture(scope="session")
def model() -> EmbeddingModel:
    return build_model()


@pytest.fixture(scope="session")
def exported(model: EmbeddingModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_saved_model(model, SIZE, tmp_path_factory.mktemp("export"))


@pytest.fixture
def copy_of(tmp_path: Path) -> Callable[[EmbeddingModel], EmbeddingModel]:
    """Returns what stores a model and reads it: the same one, in other objects."""

    def copy(model: EmbeddingModel) -> EmbeddingModel:
        model.save(tmp_path / "copy.keras")
        return keras.models.load_model(tmp_path / "copy.keras", compile=False)

    return copy
