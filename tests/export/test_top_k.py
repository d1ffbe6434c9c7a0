"""The signature that searches, and the embeddings it searches in."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from dce_tf.base.errors import UsageError
from dce_tf.export import ServableEmbedder, write_version
from dce_tf.export.fingerprint import fingerprint
from dce_tf.export.formats.saved_model import SavedModel
from dce_tf.export.gallery import read_gallery
from dce_tf.index import build_collection, open_collection
from dce_tf.index.embeddings import (
    Header,
    Part,
    check_folder,
    read_header,
    read_records,
    write_part,
)
from dce_tf.network.model import EmbeddingModel
from tests.export.conftest import SIZE
from tests.export.running import BATCH, as_bytes, evaluated, run_in_c


def write_some(
    folder: Path,
    number: int,
    vectors: np.ndarray,
    ids: list[str] | list[int],
    labels: list[str] | list[None],
    made_by: str,
) -> None:
    write_part(
        folder / Part(1, 0, number).name,
        Header(made_by, vectors.shape[1]),
        ids,
        [None] * len(ids),
        labels,
        [{}] * len(ids),
        vectors,
    )


@pytest.fixture
def gallery(model: EmbeddingModel, tmp_path: Path) -> Path:
    """The first pictures of the batch, some of unknown class, and their negatives."""
    vectors = evaluated(model, BATCH)
    made_by = ServableEmbedder(model, SIZE).fingerprint
    folder = tmp_path / "gallery"
    # Whoever wrote them may not have scaled them.
    write_some(
        folder, 0, 3 * vectors[:4], ["a", "b", "ç", "d"], ["x", "x", "y", "y"], made_by
    )
    write_some(folder, 1, -vectors[:3], [10, 11, 12], [None] * 3, made_by)
    return folder


def test_nearest_of_the_gallery_are_found_without_python(
    model: EmbeddingModel, gallery: Path, tmp_path: Path
) -> None:
    folder = write_version(
        ServableEmbedder(model, SIZE), SavedModel(gallery, top_k=7), tmp_path / "export"
    )
    found = run_in_c(folder, "top_k", tmp_path, **as_bytes(BATCH))
    vectors = evaluated(model, BATCH)
    stored = np.concatenate([vectors[:4], -vectors[:3]])
    similarity = vectors @ stored.T
    order = np.argsort(-similarity, axis=1)
    ids = np.array(["a", "b", "ç", "d", "10", "11", "12"])
    labels = np.array(["x", "x", "y", "y", "", "", ""])
    decode = np.vectorize(bytes.decode)
    np.testing.assert_array_equal(decode(found["ids"]), ids[order])
    np.testing.assert_array_equal(decode(found["labels"]), labels[order])
    expected = np.take_along_axis(similarity, order, 1)
    np.testing.assert_allclose(found["scores"], expected, atol=1e-5)


@pytest.mark.slow
def test_gallery_lies_with_the_weights_and_is_warmed_up(
    model: EmbeddingModel, gallery: Path, exported: Path, tmp_path: Path
) -> None:
    many = np.random.default_rng(0).normal(size=(20000, 16))
    many /= np.linalg.norm(many, axis=1, keepdims=True)
    names = [f"more-{row}" for row in range(len(many))]
    made_by = fingerprint(exported)
    write_some(gallery, 2, many, names, [None] * len(many), made_by)
    folder = write_version(
        ServableEmbedder(model, SIZE), SavedModel(gallery), tmp_path / "e"
    )
    assert (folder / "saved_model.pb").stat().st_size < many.nbytes // 2
    assert fingerprint(folder) == made_by
    warm = folder / "assets.extra" / "tf_serving_warmup_requests"
    assert b"top_k" in warm.read_bytes()
    served = tf.saved_model.load(str(folder)).signatures["top_k"]
    outputs = served.structured_outputs
    shapes = {name: spec.shape.as_list() for name, spec in outputs.items()}
    assert shapes == {"ids": [None, 10], "scores": [None, 10], "labels": [None, 10]}
    empty = served(image_bytes=tf.zeros((0,), tf.string))
    assert empty["ids"].shape == (0, 10)


@pytest.mark.slow
def test_more_neighbours_than_images_are_refused(
    model: EmbeddingModel, gallery: Path, tmp_path: Path
) -> None:
    for k in (0, 8):
        with pytest.raises(UsageError, match=f"--top_k={k}: .* 7 images. Use 1 to 7"):
            write_version(
                ServableEmbedder(model, SIZE),
                SavedModel(gallery, top_k=k),
                tmp_path / "e",
            )
    assert list((tmp_path / "e").iterdir()) == []


def test_embeddings_of_another_model_are_refused_with_both_fingerprints(
    gallery: Path,
) -> None:
    theirs = read_header(next(iter(gallery.iterdir()))).fingerprint
    with pytest.raises(ValueError, match="another model") as caught:
        read_gallery(gallery, "ab" * 32)
    assert "ab" * 32 in str(caught.value)
    assert theirs in str(caught.value)


def test_index_is_a_gallery_as_it_is_now(gallery: Path, tmp_path: Path) -> None:
    header, parts = check_folder(gallery)
    index = tmp_path / "index"
    build_collection(
        index,
        read_records(gallery, parts),
        fingerprint=header.fingerprint,
        embedding_dim=header.embedding_dim,
    )
    collection = open_collection(str(index))
    collection.delete([11])
    collection.close()
    found = read_gallery(index, header.fingerprint)
    whole = read_gallery(gallery, header.fingerprint)
    kept = [row for row, name in enumerate(whole.ids) if name != "11"]
    assert found.ids == tuple(whole.ids[row] for row in kept)
    assert found.labels == tuple(whole.labels[row] for row in kept)
    np.testing.assert_allclose(found.vectors, whole.vectors[kept], atol=1e-6)
    with pytest.raises(ValueError, match="another model"):
        read_gallery(index, "ab" * 32)
    build_collection(
        tmp_path / "none", [], fingerprint=header.fingerprint, embedding_dim=16
    )
    with pytest.raises(ValueError, match="found no images"):
        read_gallery(tmp_path / "none", header.fingerprint)


def test_ids_that_read_the_same_and_an_empty_folder_are_refused(
    model: EmbeddingModel, gallery: Path, tmp_path: Path
) -> None:
    made_by = ServableEmbedder(model, SIZE).fingerprint
    write_some(gallery, 2, np.eye(16)[:1], ["10"], [None], made_by)
    with pytest.raises(ValueError, match="the id 10 twice"):
        read_gallery(gallery, made_by)
    with pytest.raises(ValueError, match=r"holds no embeddings \(part-….parquet\)"):
        read_gallery(tmp_path / "nowhere", made_by)
