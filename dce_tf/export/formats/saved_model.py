"""The SavedModel that TensorFlow Serving loads."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from dce_tf.export.agreement import Vectors
from dce_tf.export.embedder import (
    EXPLAIN,
    PLACES,
    SERVE_BYTES,
    SERVE_TENSOR,
    ServableEmbedder,
    save,
)
from dce_tf.export.fingerprint import ASSETS
from dce_tf.export.formats import EXPORT_FORMATS
from dce_tf.export.formats.base import ExportFormat
from dce_tf.export.gallery import read_gallery
from dce_tf.export.scan import require_core_ops
from dce_tf.export.top_k import SERVE_TOP_K, GallerySearch
from dce_tf.export.warmup import write_warmup


@EXPORT_FORMATS.register("saved_model")
class SavedModel(ExportFormat):
    """For TensorFlow Serving: reads image files itself, can search, explains matches.

    Args:
        top_k_index: Embeddings or an index, for a signature that searches.
        top_k: How many that signature finds.
    """

    name = "saved_model"
    assets = ASSETS
    has_search = True
    explains = True

    def __init__(self, top_k_index: Path | None = None, top_k: int = 10) -> None:
        self._top_k_index = top_k_index
        self._top_k = top_k

    def as_computed(self, embedder: ServableEmbedder) -> ServableEmbedder:
        """Returns it as it was trained."""
        return embedder

    def write(self, embedder: ServableEmbedder, folder: Path) -> None:
        """Writes it, with requests for TensorFlow Serving to warm up with."""
        served = embedder.module()
        signatures = {
            SERVE_BYTES: embedder.bytes_signature(),
            SERVE_TENSOR: embedder.tensor_signature(),
        }
        if embedder.why_not_explained is None:
            signatures[EXPLAIN] = embedder.explain_signature()
        if embedder.places is not None:
            signatures[PLACES] = embedder.places_signature(embedder.places)
        searches = []
        if self._top_k_index is not None:
            searches = [SERVE_TOP_K]
            gallery = read_gallery(self._top_k_index, embedder.fingerprint)
            served.search = GallerySearch(embedder, gallery, self._top_k)
            signatures[SERVE_TOP_K] = served.search.signature()
        save(served, folder, signatures)
        require_core_ops(folder)
        (folder / ASSETS).mkdir()
        write_warmup(folder / ASSETS, embedder.image_size, searches)

    def embed(self, folder: Path, images: Vectors) -> Vectors:
        """Embeds by the signature that takes decoded images."""
        signature = tf.saved_model.load(str(folder)).signatures[SERVE_TENSOR]
        result: Vectors = signature(images=tf.constant(images))["embedding"].numpy()
        return result
