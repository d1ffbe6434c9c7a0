"""Keras' own file: for one's own code, `evaluate`, and other programs on Keras."""

from __future__ import annotations

from pathlib import Path

import keras

from dce_tf.export.agreement import Vectors
from dce_tf.export.embedder import ServableEmbedder
from dce_tf.export.formats import EXPORT_FORMATS
from dce_tf.export.formats.base import ExportFormat

FILE = "model.keras"


@EXPORT_FORMATS.register("keras")
class Keras(ExportFormat):
    """One file `model.keras`; `import dce_tf` before it is loaded."""

    name = "keras"
    precisions = ("float32",)

    def as_computed(self, embedder: ServableEmbedder) -> ServableEmbedder:
        """Returns it as it was trained."""
        return embedder

    def write(self, embedder: ServableEmbedder, folder: Path) -> None:
        """Writes the model as it is."""
        embedder.model.save(folder / FILE)

    def embed(self, folder: Path, images: Vectors) -> Vectors:
        """Embeds with Keras."""
        model = keras.models.load_model(folder / FILE, compile=False)
        result: Vectors = model(images, training=False).numpy()
        return result
