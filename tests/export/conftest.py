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
    model = EmbeddingModel(
        build_backbone("small"), DivideConquerEmbedding(16, 4), **settings
    )
    model.build((None, SIZE, SIZE, 3))
    return model


@pytest.fixture(scope="module")
def model() -> EmbeddingModel:
    return build_model()


@pytest.fixture(scope="module")
def exported(model: EmbeddingModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_saved_model(model, SIZE, tmp_path_factory.mktemp("export"))


@pytest.fixture
def copy_of(tmp_path: Path) -> Callable[[EmbeddingModel], EmbeddingModel]:
    """Returns what stores a model and reads it: the same one, in other objects."""

    def copy(model: EmbeddingModel) -> EmbeddingModel:
        model.save(tmp_path / "copy.keras")
        return keras.models.load_model(tmp_path / "copy.keras", compile=False)

    return copy
