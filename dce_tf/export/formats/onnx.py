"""ONNX: for ONNX Runtime, Triton, TensorRT, and many others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dce_tf.export.agreement import Vectors
from dce_tf.export.embedder import ServableEmbedder
from dce_tf.export.formats import EXPORT_FORMATS
from dce_tf.export.formats.base import ExportFormat, load_library

FILE = "model.onnx"


@EXPORT_FORMATS.register("onnx")
class Onnx(ExportFormat):
    """One file `model.onnx`, from `images` to `embedding`, for any batch size.

    Args:
        opset: Version of the operators; older runtimes want a lower one.
    """

    name = "onnx"

    def __init__(self, opset: int = 18) -> None:
        self._converter = load_library("tf2onnx", "tf2onnx")
        self._runtime = load_library("onnxruntime", "onnxruntime")
        self._onnx = load_library("onnx", "onnx")
        self._opset = opset

    def write(self, embedder: ServableEmbedder, folder: Path) -> None:
        """Converts the signature that takes decoded images."""
        function = embedder.tensor_signature(empty=False)
        proto, _ = self._converter.convert.from_function(
            function,
            function.input_signature,
            opset=self._opset,
            custom_op_handlers={"Erfc": (_as_erf, [])},
        )
        _fill_in_constants(proto, function.get_concrete_function(), self._onnx)
        for value in (*proto.graph.input, *proto.graph.output):
            value.type.tensor_type.shape.dim[0].dim_param = "batch"
        if embedder.precision == "float16":
            _store_as_float16(proto, self._onnx)
        self._onnx.checker.check_model(proto, full_check=True)
        self._onnx.save(proto, folder / FILE)

    def embed(self, folder: Path, images: Vectors) -> Vectors:
        """Embeds with ONNX Runtime on the CPU."""
        session = self._runtime.InferenceSession(
            folder / FILE, providers=["CPUExecutionProvider"]
        )
        (result,) = session.run(["embedding"], {"images": images})
        return np.asarray(result)


def _as_erf(context: Any, node: Any, name: str, args: Any) -> None:
    """Replaces erfc(x), of an exact GELU, by 1 − erf(x): ONNX has no other."""
    del args
    node.type = "Erf"
    (output,) = node.output
    one = context.make_const(f"{name}/one", np.ones((), np.float32)).output[0]
    context.insert_new_node_on_output("Sub", output, f"{name}/sub", [one, output])


def _fill_in_constants(proto: Any, function: Any, onnx: Any) -> None:
    """Stores what the converter takes for inputs: tensors that are no variables."""
    captured = {inner.name: value for value, inner in function.graph.captures}
    for value in [each for each in proto.graph.input if each.name in captured]:
        array = captured[value.name].numpy()
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, value.name))
        proto.graph.input.remove(value)


def _store_as_float16(proto: Any, onnx: Any) -> None:
    """Halves what the kernels take; a runtime casts them back once, as it loads."""
    helper, numbers = onnx.helper, onnx.numpy_helper
    casts = []
    for tensor in proto.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or len(tensor.dims) < 2:
            continue
        name = tensor.name
        values = numbers.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(numbers.from_array(values, f"{name}_float16"))
        casts.append(
            helper.make_node("Cast", [tensor.name], [name], to=onnx.TensorProto.FLOAT)
        )
    nodes = [*casts, *proto.graph.node]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
