"""ONNX: for ONNX Runtime, Triton, TensorRT, and many others."""

from __future__ import annotations

from pathlib import Path

from dce_tf.export.agreement import Vectors
from dce_tf.export.embedder import ServableEmbedder
from dce_tf.export.formats import EXPORT_FORMATS
from dce_tf.export.formats.base import ExportFormat
from dce_tf.export.onnx_graph import OnnxConverter

FILE = "model.onnx"


@EXPORT_FORMATS.register("onnx")
class Onnx(ExportFormat):
    """One file `model.onnx`, from `images` to `embedding`, for any batch size.

    Args:
        opset: Version of the operators; older runtimes want a lower one.
    """

    name = "onnx"

    def __init__(self, opset: int = 18) -> None:
        self._converter = OnnxConverter("This --format", opset)

    def write(self, embedder: ServableEmbedder, folder: Path) -> None:
        """Converts the signature that takes decoded images."""
        function = embedder.tensor_signature(empty=False)
        proto = self._converter.convert(function, embedder.precision)
        for value in (*proto.graph.input, *proto.graph.output):
            value.type.tensor_type.shape.dim[0].dim_param = "batch"
        (folder / FILE).write_bytes(self._converter.checked(proto))

    def embed(self, folder: Path, images: Vectors) -> Vectors:
        """Embeds with ONNX Runtime on the CPU."""
        return self._converter.embed(folder / FILE, images)
