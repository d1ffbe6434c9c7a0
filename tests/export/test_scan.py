"""Models that TensorFlow Serving could not run, refused here and by the C library."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from dce_tf.export import export_saved_model
from dce_tf.export.scan import find_reaching, require_core_ops
from dce_tf.network.backbones import build_backbone
from dce_tf.network.layers import DivideConquerEmbedding
from dce_tf.network.model import EmbeddingModel
from tests.export.conftest import SIZE
from tests.export.running import BATCH, as_bytes, run_in_c


def save(folder: Path, function: Callable) -> Path:
    spec = [tf.TensorSpec((None,), tf.string)]
    served = tf.function(function, input_signature=spec)
    tf.saved_model.save(tf.Module(), folder, signatures=served.get_concrete_function())
    return folder


def rewrite(folder: Path, change: Callable) -> None:
    file = folder / "saved_model.pb"
    proto = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    change(proto.meta_graphs[0].graph_def)
    file.write_bytes(proto.SerializeToString())


def python(data: tf.Tensor) -> tf.Tensor:
    return tf.numpy_function(
        lambda x: np.zeros((len(x), 2), np.float32), [data], tf.float32
    )


def test_model_that_needs_python_is_refused_here_and_by_the_c_library(
    tmp_path: Path,
) -> None:
    # In a branch, which is a function of its own.
    def branch(data: tf.Tensor) -> tf.Tensor:
        return tf.cond(
            tf.size(data) > 0, lambda: python(data), lambda: tf.zeros((0, 2))
        )

    folder = save(tmp_path / "bad", branch)
    with pytest.raises(ValueError, match=r"Function .* calls Python: op PyFunc "):
        require_core_ops(folder)
    with pytest.raises(RuntimeError, match="PyFunc"):
        run_in_c(folder, "serving_default", tmp_path, **as_bytes(BATCH[:1]))


def test_custom_op_is_refused_here_and_by_the_c_library(tmp_path: Path) -> None:
    folder = save(tmp_path / "bad", tf.strings.length)
    require_core_ops(folder)

    def change(graph: tf.compat.v1.GraphDef) -> None:
        nodes = [node for each in graph.library.function for node in each.node_def]
        (length,) = (node for node in nodes if node.op == "StringLength")
        length.op = "Addons>StringLength"

    rewrite(folder, change)
    with pytest.raises(ValueError, match="custom op: Addons>StringLength"):
        require_core_ops(folder)
    with pytest.raises(RuntimeError, match="Addons>StringLength"):
        run_in_c(folder, "serving_default", tmp_path, **as_bytes(BATCH[:1]))


def test_op_outside_of_functions_is_seen(tmp_path: Path) -> None:
    folder = save(tmp_path / "bad", tf.strings.length)
    rewrite(folder, lambda graph: graph.node.add(name="mine", op="Mine"))
    with pytest.raises(ValueError, match=r"The graph .* custom op: Mine of node mine"):
        require_core_ops(folder)


@pytest.mark.parametrize("marked", ["functions", "nodes"])
def test_function_that_must_be_compiled_is_refused(tmp_path: Path, marked: str) -> None:
    compiled = tf.function(lambda x: tf.cast(x, tf.float32) * 2, jit_compile=True)
    folder = save(tmp_path / "bad", lambda data: compiled(tf.strings.length(data)))

    def change(graph: tf.compat.v1.GraphDef) -> None:
        functions = list(graph.library.function)
        nodes = [node for each in functions for node in each.node_def]
        for each in nodes if marked == "functions" else functions:
            each.attr.pop("_XlaMustCompile", None)

    rewrite(folder, change)
    with pytest.raises(ValueError, match="must be compiled by XLA"):
        require_core_ops(folder)


@pytest.mark.slow
def test_export_of_a_backbone_with_python_in_it_leaves_nothing(tmp_path: Path) -> None:
    @keras.saving.register_keras_serializable("tests")
    class Python(keras.layers.Layer):
        def call(self, images: tf.Tensor) -> tf.Tensor:
            doubled = tf.numpy_function(lambda x: 2 * x, [images], tf.float32)
            return tf.ensure_shape(doubled, images.shape)

    inputs = keras.Input((SIZE, SIZE, 3))
    backbone = keras.Model(inputs, build_backbone("small")(Python()(inputs)))
    model = EmbeddingModel(backbone, DivideConquerEmbedding(4))
    model.build((None, SIZE, SIZE, 3))
    with pytest.raises(ValueError, match="calls Python: op PyFunc"):
        export_saved_model(model, SIZE, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_exports_reach_nothing_outside_themselves(exported: Path) -> None:
    assert list(find_reaching(exported)) == []


def reads(data: tf.Tensor) -> tf.Tensor:
    return tf.map_fn(tf.io.read_file, data)


def writes(data: tf.Tensor) -> tf.Tensor:
    tf.io.write_file("/nowhere/x", data[0])
    return data


def prints(data: tf.Tensor) -> tf.Tensor:
    tf.print(data, output_stream="file:///nowhere/x")
    return data


def lists(data: tf.Tensor) -> tf.Tensor:
    return tf.io.matching_files(data[0])


def saves(data: tf.Tensor) -> tf.Tensor:
    tf.raw_ops.SaveV2(
        prefix=data[0], tensor_names=["x"], shape_and_slices=[""], tensors=[data]
    )
    return data


def restores(data: tf.Tensor) -> tf.Tensor:
    return tf.raw_ops.RestoreV2(
        prefix=data[0], tensor_names=["x"], shape_and_slices=[""], dtypes=[tf.string]
    )


def streams(data: tf.Tensor) -> tf.Tensor:
    return tf.data.TextLineDataset(data).reduce(data[0], lambda _, line: line)


@pytest.mark.parametrize(
    "function", [reads, writes, prints, lists, saves, restores, streams]
)
def test_graph_that_reaches_files_is_told_from_an_export(
    function: Callable, tmp_path: Path
) -> None:
    found = list(find_reaching(save(tmp_path / "bad", function)))
    assert found
    assert "reaches files or other machines: op " in found[0][1]


def test_signature_may_not_call_what_loads_the_variables(
    exported: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "bad"
    shutil.copytree(exported, folder)

    def change(graph: Any) -> None:
        savers = {
            function.signature.name
            for function in graph.library.function
            if any(node.op == "RestoreV2" for node in function.node_def)
        }
        (saver,) = savers
        function = next(
            each for each in graph.library.function if each.signature.name != saver
        )
        function.node_def.add(op="PartitionedCall").attr["f"].func.name = saver

    rewrite(folder, change)
    (found,) = {place for place, _ in find_reaching(folder)}
    assert "restore" in found
