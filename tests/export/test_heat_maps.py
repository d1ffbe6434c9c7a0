"""The signature that splits embeddings by place, and models that have none."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from dce_tf.base.errors import UsageError
from dce_tf.export import ServableEmbedder, export_saved_model, write_version
from dce_tf.export.formats.saved_model import SavedModel
from dce_tf.export.heat_maps import why_not_explained
from dce_tf.export.served import ServedModel
from dce_tf.export.truncation import keep_learners
from dce_tf.network.model import EmbeddingModel
from tests.export.conftest import SIZE, build_model, build_with_everything
from tests.export.running import BATCH, as_bytes, evaluated, run_in_c
from tests.saved_models import write_saved_model
from tests.slow import rest_is_slow


def write(model: EmbeddingModel, folder: Path, precision: str = "float32") -> Path:
    embedder = ServableEmbedder(model, SIZE, precision)
    return write_version(embedder, SavedModel(), folder)


def test_shares_sum_to_the_embedding_without_python(
    exported: Path, model: EmbeddingModel, tmp_path: Path
) -> None:
    received = run_in_c(exported, "explain", tmp_path, **as_bytes(BATCH))
    assert received["shares"].shape == (len(BATCH), 2, 2, 16)
    summed = received["shares"].sum((1, 2))
    np.testing.assert_allclose(summed, evaluated(model, BATCH), atol=1e-4)


@pytest.mark.parametrize("kind", rest_is_slow(["float16", "short", "everything"]))
def test_every_export_is_split_as_it_embeds(kind: str, tmp_path: Path) -> None:
    model = build_model()
    if kind == "short":
        model = keep_learners(model, 2)
    if kind == "everything":
        model = build_with_everything()
    precision = "float16" if kind == "float16" else "float32"
    served = ServedModel(write(model, tmp_path, precision))
    shares = served.shares(BATCH)
    np.testing.assert_allclose(shares.sum((1, 2)), served.embed(BATCH), atol=1e-4)
    assert served.shares([]).shape == (0, *shares.shape[1:])


@pytest.mark.slow
def test_model_of_one_token_is_exported_and_says_why_it_explains_nothing(
    tmp_path: Path,
) -> None:
    inputs = tf.keras.Input((SIZE, SIZE, 3))
    tokens = tf.keras.layers.Reshape((16, 192))(inputs)
    backbone = tf.keras.Model(inputs, tf.keras.layers.Dense(8)(tokens))
    embedding = build_model().embedding
    embedding = type(embedding).from_config(embedding.get_config())
    model = EmbeddingModel(backbone, embedding, pooling="cls")
    model.build((None, SIZE, SIZE, 3))
    folder = export_saved_model(model, SIZE, tmp_path)
    assert "explain" not in tf.saved_model.load(folder).signatures
    served = ServedModel(folder)
    assert served.embed(BATCH[:1]).shape == (1, 16)
    with pytest.raises(UsageError, match=r"pooling=cls .*works for --pooling=avg, max"):
        served.shares(BATCH[:1])


def test_earlier_export_asks_to_be_exported_again(tmp_path: Path) -> None:
    served = ServedModel(write_saved_model(tmp_path / "1"))
    with pytest.raises(UsageError, match=r"Export it again.*main\.py export RUN`"):
        served.shares(BATCH[:1])


def test_card_says_whether_there_are_heat_maps(exported: Path, tmp_path: Path) -> None:
    def of(folder: Path) -> object:
        card = folder / "assets.extra" / "model_card.json"
        return json.loads(card.read_text("utf-8"))["heat_maps"]

    assert of(exported) == {"why_not": None}
    assert why_not_explained(exported, ["explain"]) is None
    card = tmp_path / "assets.extra" / "model_card.json"
    card.parent.mkdir()
    for damaged in ("[]", "{", '{"heat_maps": null}'):
        card.write_text(damaged)
        assert "Export it again" in str(why_not_explained(tmp_path, []))
