"""The SavedModel that TensorFlow Serving loads."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from dce_tf import images
from dce_tf.export.card import describe
from dce_tf.export.fingerprint import ASSETS, CARD, fingerprint_model
from dce_tf.export.versions import versions
from dce_tf.export.warmup import write_warmup
from dce_tf.files import write_json, write_text
from dce_tf.model import EmbeddingModel

SERVE_BYTES = "serving_default"
SERVE_TENSOR = "serve_tensor"


class ServedEmbedder(tf.Module):
    """A model behind the signatures of its SavedModel.

    Args:
        model: Built outside of any multi-device strategy.
        image_size: Side of its input in pixels.
    """

    def __init__(self, model: EmbeddingModel, image_size: int) -> None:
        super().__init__(name="embedder")
        self._model = model
        self._image_size = image_size
        # Keras tracks its variables out of TensorFlow's sight.
        self._tracked = [variable.value for variable in model.variables]

    def signatures(self) -> dict[str, Any]:
        """Returns the functions to serve, by the name of their signature."""
        size = self._image_size
        encoded = tf.TensorSpec((None,), tf.string, "image_bytes")
        decoded = tf.TensorSpec((None, size, size, 3), tf.float32, "images")
        return {
            SERVE_BYTES: tf.function(self.embed_bytes).get_concrete_function(encoded),
            SERVE_TENSOR: tf.function(self.embed_images).get_concrete_function(decoded),
        }

    def embed_bytes(self, image_bytes: Any) -> dict[str, Any]:
        """Embeds encoded images, string `(batch,)`, read as in evaluation."""
        shape = (self._image_size, self._image_size, 3)
        with tf.device("CPU:0"):
            batch = tf.map_fn(
                lambda data: images.evaluation_image(
                    images.decode(data), self._image_size
                ),
                image_bytes,
                fn_output_signature=tf.TensorSpec(shape, tf.float32),
            )
        return self.embed_images(batch)

    def embed_images(self, images: Any) -> dict[str, Any]:
        """Embeds images cropped to the input size, float32, 0–255."""
        return {"embedding": self._model(images, training=False)}


def export_saved_model(
    model: EmbeddingModel,
    image_size: int,
    folder: Path,
    card: Mapping[str, Any] | None = None,
    labels: Sequence[str] = (),
) -> Path:
    """Writes the next version of a SavedModel.

    A reader of `folder` sees the version when it is whole, not before. In its
    `assets.extra` lie requests for TensorFlow Serving to warm up with.

    Args:
        model: What to export.
        image_size: Side of its input in pixels.
        folder: Holds one sub-folder a version: 1, 2, …
        card: What else there is to know about the model, for `model_card.json`: its
            name, data, scores.
        labels: The classes it was trained on, for `labels.txt`.

    Returns:
        The folder of the new version.
    """
    units = model.embedding.units
    known: dict[str, Any] = {
        "image_size": image_size,
        "embedding_dim": units,
        "precision": "float32",
    }
    described = describe(fingerprint_model(model, **known), **known)
    folder.mkdir(parents=True, exist_ok=True)
    served = ServedEmbedder(model, image_size)
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=folder) as temporary:
        written = Path(temporary) / "model"
        tf.saved_model.save(served, str(written), signatures=served.signatures())
        assets = written / ASSETS
        assets.mkdir()
        write_warmup(assets, image_size)
        write_json(assets / CARD, {**described, **(card or {})})
        if labels:
            write_text(assets / "labels.txt", "".join(f"{n}\n" for n in labels))
        target = folder / str(1 + max(versions(folder), default=0))
        shutil.move(written, target)
    return target
