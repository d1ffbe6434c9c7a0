"""Models that TensorFlow Serving could not run, refused here and by the C library."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from dce_tf.export import export_saved_model
from dce_tf.export.scan import require_core_ops
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
