from pathlib import Path

import numpy as np
import pytest

from dce_tf.base.errors import UsageError
from dce_tf.export import export_saved_model
from dce_tf.export.truncation import drop_heads, keep_learners
from dce_tf.network.backbones import build_backbone
from dce_tf.network.layers import DivideConquerEmbedding
from dce_tf.network.model import EmbeddingModel
from tests.export.conftest import SIZE
from tests.export.running import BATCH, as_bytes, evaluated, run_in_c


def built(parts: str, pooling: str = "avg") -> EmbeddingModel:
    layer = DivideConquerEmbedding(16, 4, parts)
    model = EmbeddingModel(build_backbone("small"), layer, pooling=pooling)
    model.build((None, SIZE, SIZE, 3))
    return model


def beginning(embedding: np.ndarray, width: int) -> np.ndarray:
    kept = embedding[:, :width]
    return kept / np.linalg.norm(kept, axis=1, keepdims=True)


@pytest.mark.parametrize("parts", ["slices", "fixed_masks", "nested"])
@pytest.mark.parametrize("count", [1, 3, 4])
def test_kept_is_the_beginning_at_unit_length(parts: str, count: int) -> None:
    model = built(parts, pooling="gem")
    model.pool.p.assign(5.0)
    truncated = keep_learners(model, count)
    assert truncated.embedding.units == 4 * count
    expected = beginning(evaluated(model, BATCH), 4 * count)
    np.testing.assert_allclose(evaluated(truncated, BATCH), expected, atol=1e-6)


@pytest.mark.slow
def test_truncated_export_runs_without_python(
    model: EmbeddingModel, tmp_path: Path
) -> None:
    folder = export_saved_model(keep_learners(model, 2), SIZE, tmp_path / "export")
    received = run_in_c(folder, "serving_default", tmp_path, **as_bytes(BATCH))
    expected = beginning(evaluated(model, BATCH), 8)
    np.testing.assert_allclose(received["embedding"], expected, atol=1e-5)


def test_what_cannot_be_cut_is_refused(model: EmbeddingModel) -> None:
    for count in (0, 5):
        with pytest.raises(UsageError, match=f"={count}.* 4 learners. Use 1 to"):
            keep_learners(model, count)
    with pytest.raises(UsageError, match="masks over the whole embedding"):
        keep_learners(built("masks"), 2)


def test_heads_and_centroids_are_dropped() -> None:
    for options in (
        {"parts": "heads", "head_units": 20},
        {"keep_centroids": True},
        {"parts": "masks", "keep_centroids": True},
    ):
        layer = DivideConquerEmbedding(16, 4, **options)
        model = EmbeddingModel(build_backbone("small"), layer)
        model.build((None, SIZE, SIZE, 3))
        dropped = drop_heads(model)
        np.testing.assert_array_equal(
            evaluated(dropped, BATCH), evaluated(model, BATCH)
        )
        assert dropped.embedding.head_kernel is dropped.embedding.centroids is None
        assert drop_heads(dropped) is dropped


def test_learners_with_heads_are_not_cut() -> None:
    layer = DivideConquerEmbedding(16, 4, "heads", head_units=20)
    model = EmbeddingModel(build_backbone("small"), layer)
    model.build((None, SIZE, SIZE, 3))
    with pytest.raises(UsageError, match="heads of their own"):
        keep_learners(model, 2)
