"""OpenVINO: for Intel processors and GPUs."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from dce_tf.export.agreement import Vectors
from dce_tf.export.embedder import ServableEmbedder
from dce_tf.export.formats import EXPORT_FORMATS
from dce_tf.export.formats.base import ExportFormat
from dce_tf.export.libraries import load_library

FILE = "model.xml"


@EXPORT_FORMATS.register("openvino")
class OpenVino(ExportFormat):
    """Files `model.xml` and `model.bin`, from `images` to `embedding`.

    No file can say in which precision it is to be computed: where the processor can,
    OpenVINO takes bfloat16 unless `compile_model` is given `runtime`.
    """

    name = "openvino"
    runtime: ClassVar[Mapping[str, str]] = {"INFERENCE_PRECISION_HINT": "f32"}

    def __init__(self) -> None:
        self._library = load_library("openvino", "openvino")

    def write(self, embedder: ServableEmbedder, folder: Path) -> None:
        """Converts the signature that takes decoded images."""
        with tempfile.TemporaryDirectory() as temporary:
            embedder.save_tensor_signature(Path(temporary))
            # Not `convert_model`, which reports its use over the network.
            model = self._library.Core().read_model(temporary)
            # What is in float16 stays so; the rest is not to be rounded too.
            self._library.save_model(model, folder / FILE, compress_to_fp16=False)

    def embed(self, folder: Path, images: Vectors) -> Vectors:
        """Embeds on the CPU, in float32."""
        compiled = self._library.Core().compile_model(
            folder / FILE, "CPU", dict(self.runtime)
        )
        return np.asarray(compiled({"images": images})["embedding"])
