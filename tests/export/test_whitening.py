import json
from pathlib import Path

import numpy as np
import pytest

from dce_tf.base.errors import UsageError
from dce_tf.export import ServableEmbedder, export_saved_model
from dce_tf.export.whitening import fit_whitening, project, whiten_model
from dce_tf.network.model import EmbeddingModel
from dce_tf.network.shares import place_shares
from tests.export.conftest import SIZE
from tests.export.running import BATCH, as_bytes, evaluated, pixels, run_in_c
from tests.export.test_truncation import built


def drawn(count: int, dim: int, axes: int | None = None) -> np.ndarray:
    """Draws vectors that vary along some axes, unevenly, around a mean."""
    rng = np.random.default_rng(0)
    along = rng.normal(size=(count, axes or dim)) * np.geomspace(9, 0.1, axes or dim)
    return 3 + along @ rng.normal(size=(axes or dim, dim))


def whitened(vectors: np.ndarray, kept: int) -> np.ndarray:
    """The same by the singular value decomposition, without scaling to unit length."""
    centred = vectors - vectors.mean(axis=0)
    _, values, axes = np.linalg.svd(centred, full_matrices=False)
    return centred @ axes[:kept].T / values[:kept] * len(vectors) ** 0.5


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def features_of(model: EmbeddingModel, count: int = 60) -> np.ndarray:
    images = np.random.default_rng(0).uniform(0, 255, (count, SIZE, SIZE, 3))
    return model.features(images.astype(np.float32)).numpy()


@pytest.mark.parametrize("kept", [1, 5, 12])
def test_whitened_vectors_are_those_of_the_paper(kept: int) -> None:
    vectors = drawn(200, 12)
    expected = unit(whitened(vectors, kept))
    found = fit_whitening(vectors, kept)(vectors)
    # An axis may point either way.
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-5)
    assert found.dtype == np.float32


def test_numbers_are_alike_before_they_are_scaled() -> None:
    vectors = drawn(200, 12)
    fitted = fit_whitening(vectors, 7)
    turned = (vectors - fitted.mean) @ fitted.turn
    np.testing.assert_allclose(turned.T @ turned / 200, np.eye(7), atol=1e-8)
    np.testing.assert_allclose(turned.mean(axis=0), 0, atol=1e-8)


def test_hand_worked_number() -> None:
    # Along the first axis the deviation is 4, along the second 1.
    vectors = np.array([[9.0, 3], [1, 3], [5, 2], [5, 4]]) * [2**0.5, 2**0.5]
    fitted = fit_whitening(vectors, 2)
    assert fitted.variance == 1
    assert fit_whitening(vectors, 1).variance == pytest.approx(16 / 17)
    (found,) = fitted(vectors[:1] + np.array([0, 2**0.5]))
    np.testing.assert_allclose(found, [0.5**0.5, 0.5**0.5], atol=1e-6)


def test_axes_are_the_same_each_time() -> None:
    vectors = drawn(200, 12)
    other = fit_whitening(vectors[::-1], 5)
    np.testing.assert_allclose(fit_whitening(vectors, 5).turn, other.turn, rtol=1e-6)


@pytest.mark.parametrize("parts", ["slices", "nested", "masks"])
def test_model_embeds_what_was_learned(parts: str) -> None:
    model = built(parts, pooling="gem")
    features = features_of(model)
    fitted = fit_whitening(project(model, features), 6)
    changed = whiten_model(model, fitted)
    expected = fitted(project(model, model.features(pixels(BATCH)).numpy()))
    found = evaluated(changed, BATCH)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert changed.embedding.units == 6


def test_shares_of_places_still_sum_to_the_embedding() -> None:
    model = built("slices")
    fitted = fit_whitening(project(model, features_of(model)), 6)
    changed = whiten_model(model, fitted)
    summed = np.asarray(place_shares(changed, pixels(BATCH))).sum(axis=(1, 2))
    np.testing.assert_allclose(summed, evaluated(changed, BATCH), atol=1e-5)


@pytest.mark.slow
def test_whitened_export_runs_without_python(
    model: EmbeddingModel, tmp_path: Path
) -> None:
    fitted = fit_whitening(project(model, features_of(model)), 6)
    changed = whiten_model(model, fitted)
    folder = export_saved_model(changed, SIZE, tmp_path / "export")
    received = run_in_c(folder, "serving_default", tmp_path, **as_bytes(BATCH))
    expected = evaluated(changed, BATCH)
    np.testing.assert_allclose(received["embedding"], expected, atol=1e-5)
    card = json.loads((folder / "assets.extra" / "model_card.json").read_text())
    assert card["embedding_dim"] == 6
    assert card["fingerprint"] != ServableEmbedder(model, SIZE).fingerprint


@pytest.mark.parametrize("kept", [0, -1, 13])
def test_width_that_cannot_be_is_refused(kept: int) -> None:
    with pytest.raises(
        UsageError, match=f"--whiten={kept}: .* 12 numbers. Use 1 to 12"
    ):
        fit_whitening(drawn(200, 12), kept)


def test_too_few_images_are_refused() -> None:
    with pytest.raises(ValueError, match=r"found 12 training images, expected .*13 or"):
        fit_whitening(drawn(12, 12), 3)
    assert fit_whitening(drawn(13, 12), 3).num_images == 13


def test_axes_that_do_not_vary_are_refused() -> None:
    vectors = drawn(200, 12, axes=4)
    assert fit_whitening(vectors, 4).variance == pytest.approx(1)
    with pytest.raises(UsageError, match=r"vary along 4 axes only\. Use 1 to 4"):
        fit_whitening(vectors, 5)
    with pytest.raises(UsageError, match=r"along 0 axes only\. Leave the flag out"):
        fit_whitening(np.ones((200, 12)), 1)


def test_broken_embeddings_are_refused() -> None:
    vectors = drawn(200, 12)
    vectors[7, 3] = np.nan
    with pytest.raises(ValueError, match="is not finite, so the model is broken"):
        fit_whitening(vectors, 3)
