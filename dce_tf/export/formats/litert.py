"""LiteRT, once TensorFlow Lite: for phones and small devices."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import tensorflow as tf

from dce_tf.export.agreement import Vectors
from dce_tf.export.embedder import SERVE_TENSOR, ServableEmbedder
from dce_tf.export.formats import EXPORT_FORMATS
from dce_tf.export.formats.base import ExportFormat
from dce_tf.export.libraries import load_library

FILE = "model.tflite"


@EXPORT_FORMATS.register("litert")
class LiteRT(ExportFormat):
    """One file `model.tflite` with the signature `serve_tensor`."""

    name = "litert"

    def __init__(self) -> None:
        self._interpreter = load_library(
            "ai_edge_litert.interpreter", "ai-edge-litert"
        ).Interpreter

    def write(self, embedder: ServableEmbedder, folder: Path) -> None:
        """Converts the signature that takes decoded images."""
        with tempfile.TemporaryDirectory() as temporary:
            embedder.save_tensor_signature(Path(temporary))
            converter = tf.lite.TFLiteConverter.from_saved_model(
                temporary, signature_keys=[SERVE_TENSOR]
            )
            self._configure(converter, embedder.precision)
            with warnings.catch_warnings():
                # TensorFlow's converter calibrates with its own old interpreter.
                warnings.filterwarnings("ignore", r"\s*Warning: tf.lite.Interpreter")
                content = converter.convert()
        (folder / FILE).write_bytes(content)

    def _configure(self, converter: Any, precision: str) -> None:
        if precision == "float16":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.target_spec.supported_types = [tf.float16]

    def embed(self, folder: Path, images: Vectors) -> Vectors:
        """Embeds with LiteRT on the CPU."""
        interpreter = self._interpreter(model_path=str(folder / FILE))
        signature = interpreter.get_signature_runner(SERVE_TENSOR)
        result: Vectors = signature(images=images)["embedding"]
        return result
