from collections.abc import Callable
from pathlib import Path

import keras
import pytest

from dce_tf.backbones import build_backbone
from dce_tf.export import export_saved_model
from dce_tf.layers import DivideConquerEmbedding
from dce_tf.model import EmbeddingModel

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
    makes one op, a convolution in groups, which Keras has XLA compile, an exact GELU.
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
    model = EmbeddingModel(keras.Model(inputs, x), DivideConquerEmbedding(16, 4))
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
