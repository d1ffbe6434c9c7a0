"""A function of TensorFlow as a graph of ONNX, and what ONNX Runtime makes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dce_tf import __version__
from dce_tf.export.agreement import Vectors
from dce_tf.export.libraries import load_library

IMAGES, EMBEDDING = "images", "embedding"
"""What a graph takes and gives."""


class OnnxConverter:
    """Converts functions from images to embeddings.

    Args:
        needed_by: The flag that needs it, for errors.
        opset: Version of the operators; older runtimes want a lower one.

    Raises:
        UsageError: If a package that it needs is not installed.
    """

    def __init__(self, needed_by: str, opset: int = 18) -> None:
        needed: dict[str, Any] = {"needed_by": needed_by}
        self._converter = load_library("tf2onnx", "tf2onnx", **needed)
        self._runtime = load_library("onnxruntime", "onnxruntime", **needed)
        self._onnx = load_library("onnx", "onnx", **needed)
        self._opset = opset

    @property
    def version(self) -> str:
        """What conversions of one function are the same for."""
        return f"{__version__}-{self._converter.__version__}-{self._opset}"

    def convert(self, function: Any, precision: str = "float32") -> Any:
        """Returns the graph of a function.

        Args:
            function: A `tf.function` with one input signature, from `images` to a
                dictionary with `embedding`.
            precision: What kernels are stored as: `"float32"` or `"float16"`.
        """
        proto, _ = self._converter.convert.from_function(
            function,
            function.input_signature,
            opset=self._opset,
            custom_op_handlers={"Erfc": (_as_erf, [])},
        )
        _fill_in_constants(proto, function.get_concrete_function(), self._onnx)
        if precision == "float16":
            _store_as_float16(proto, self._onnx)
        return proto

    def checked(self, proto: Any) -> bytes:
        """Returns a graph as the content of a file.

        Raises:
            Exception: ONNX's own, if a runtime could not load it.
        """
        self._onnx.checker.check_model(proto, full_check=True)
        content: bytes = proto.SerializeToString()
        return content

    def embed(self, model: Path | bytes, images: Vectors) -> Vectors:
        """Embeds with ONNX Runtime on the CPU.

        Args:
            model: A file, or its content.
            images: float32 `(batch, image_size, image_size, 3)`, 0 to 255.

        Returns:
            float32 `(batch, embedding_dim)`.
        """
        session = self._runtime.InferenceSession(
            model, providers=["CPUExecutionProvider"]
        )
        (result,) = session.run([EMBEDDING], {IMAGES: images})
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
        with np.errstate(over="ignore"):  # Whether it embeds alike is seen later.
            values = numbers.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(numbers.from_array(values, f"{name}_float16"))
        casts.append(
            helper.make_node("Cast", [tensor.name], [name], to=onnx.TensorProto.FLOAT)
        )
    nodes = [*casts, *proto.graph.node]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
