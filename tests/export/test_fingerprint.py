import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf

from dce_tf.export import export_saved_model
from dce_tf.export.fingerprint import fingerprint, fingerprint_model
from dce_tf.export.truncation import keep_learners
from dce_tf.network.model import EmbeddingModel, set_precision
from tests.export.conftest import SIZE, build_model

Copy = Callable[[EmbeddingModel], EmbeddingModel]


def of(model: EmbeddingModel, **changed: int | str) -> str:
    settings = {"image_size": SIZE, "precision": "float32"}
    return fingerprint_model(model, **{**settings, **changed})


@pytest.mark.slow
def test_two_exports_of_one_model_have_the_same_fingerprint(
    exported: Path, model: EmbeddingModel, copy_of: Copy, tmp_path: Path
) -> None:
    again = export_saved_model(copy_of(model), SIZE, tmp_path)
    assert fingerprint(again) == fingerprint(exported) == of(model)
    assert re.fullmatch("[0-9a-f]{64}", fingerprint(exported))


def test_fingerprint_differs_where_embeddings_do(
    model: EmbeddingModel, copy_of: Copy
) -> None:
    trained = copy_of(model)
    bias = trained.embedding.bias
    bias.assign(tf.tensor_scatter_nd_add(bias, [[3]], [1e-6]))
    pooled = build_model(pooling="max")
    pooled.set_weights(model.get_weights())
    mixed = copy_of(model)
    set_precision(mixed.backbone, "mixed_bfloat16")
    found = {
        of(model),
        of(trained),
        of(pooled),
        of(mixed),
        of(model, image_size=64),
        of(keep_learners(model, 2)),
        of(model, precision="float16"),
    }
    assert len(found) == 7


def test_foreign_saved_model_is_told_by_its_files(tmp_path: Path) -> None:
    for name, value in (("one", 1.0), ("other", 2.0)):
        module = tf.Module()
        module.weight = tf.Variable(value)
        tf.saved_model.save(module, tmp_path / name)
    one, other = tmp_path / "one", tmp_path / "other"
    assert fingerprint(one) != fingerprint(other)
    first = fingerprint(one)
    for name in ("saved_model.pb", "variables/variables.data-00000-of-00001"):
        before = (one / name).read_bytes()
        (one / name).write_bytes(before + b"\0")
        assert fingerprint(one) != first
        (one / name).write_bytes(before)
    (one / "assets.extra").mkdir()
    (one / "assets.extra" / "model_card.json").write_text('{"name": "theirs"}')
    assert fingerprint(one) == first


def test_card_beside_a_file_of_another_format_tells(tmp_path: Path) -> None:
    (tmp_path / "model_card.json").write_text(json.dumps({"fingerprint": "ab" * 32}))
    assert fingerprint(tmp_path) == "ab" * 32


def test_what_is_no_export_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"neither model_card.json nor saved_model.pb"):
        fingerprint(tmp_path)
    for damaged in ("{", "[1]"):
        (tmp_path / "model_card.json").write_text(damaged)
        with pytest.raises(ValueError, match="no JSON object"):
            fingerprint(tmp_path)
