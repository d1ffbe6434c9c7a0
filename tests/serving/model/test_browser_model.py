"""What browsers embed with: made of a version, refused where it embeds otherwise."""

import gzip
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tensorflow as tf

from dce_tf.base.errors import UsageError
from dce_tf.export import EXPORT_FORMATS, ServableEmbedder, write_version
from dce_tf.export.onnx_graph import OnnxConverter
from dce_tf.images import preprocessing
from dce_tf.network.model import EmbeddingModel
from dce_tf.serving.model.browser_model import (
    BrowserModel,
    make_browser_model,
    make_browser_models,
)
from dce_tf.serving.model.servable import Servable
from tests.export.conftest import SIZE as EXPORTED_SIZE
from tests.export.conftest import build_model, build_with_everything
from tests.saved_models import write_saved_model
from tests.serving.conftest import SIZE, Served, picture


class Turned(tf.Module):
    """Embeds by one matrix, and maybe not what the page would embed.

    Args:
        scale: Of the matrix.
        reads: Makes the input of the network of an encoded image.
        embeds: From products with the matrix to embeddings.
    """

    def __init__(
        self,
        scale: float = 1.0,
        reads: Callable[[Any], Any] | None = None,
        embeds: Callable[[Any], Any] = lambda x: x,
    ) -> None:
        super().__init__()
        rng = np.random.default_rng(0)
        values = scale * rng.normal(size=(SIZE * SIZE * 3, 5))
        self.matrix = tf.Variable(values.astype(np.float32))
        self._reads = reads or (
            lambda data: preprocessing.evaluation_image(
                preprocessing.decode(data), SIZE
            )
        )
        self._embeds = embeds

    def embed_images(self, images: Any) -> Any:
        flat = tf.reshape(images / 255, (-1, SIZE * SIZE * 3))
        turned = self._embeds(flat @ self.matrix)
        return {"embedding": tf.math.l2_normalize(turned, 1)}

    def embed_bytes(self, image_bytes: Any) -> Any:
        spec = tf.TensorSpec((SIZE, SIZE, 3), tf.float32)
        read = tf.map_fn(self._reads, image_bytes, fn_output_signature=spec)
        return self.embed_images(read)

    def servable(self, folder: Path) -> Servable:
        texts = tf.TensorSpec((None,), tf.string, "image_bytes")
        images = tf.TensorSpec((None, SIZE, SIZE, 3), tf.float32, "images")
        signatures = {
            "serving_default": tf.function(self.embed_bytes, input_signature=[texts]),
            "serve_tensor": tf.function(self.embed_images, input_signature=[images]),
        }
        tf.saved_model.save(self, str(folder), signatures=signatures)
        return Servable(3, folder)


def make(servable: Servable, folder: Path) -> BrowserModel:
    return make_browser_model(servable, OnnxConverter("--browser_model"), folder)


def graph_of(model: BrowserModel) -> bytes:
    return gzip.decompress(model.file.read_bytes())


def kernel_type(graph: bytes) -> int:
    (kernel,) = (
        each
        for each in onnx.load_from_string(graph).graph.initializer
        if len(each.dims) == 2
    )
    return kernel.data_type


def test_it_embeds_as_the_version_in_half_the_bytes(tmp_path: Path) -> None:
    servable = Turned().servable(tmp_path / "3")
    model = make(servable, tmp_path)
    graph = graph_of(model)
    assert model.describe() == {
        "image_size": SIZE,
        "bytes": len(model.file.read_bytes()),
    }
    assert kernel_type(graph) == onnx.TensorProto.FLOAT16
    image = picture(size=(50, 30))
    read = preprocessing.evaluation_image(preprocessing.decode(image), SIZE)[None]
    found = OnnxConverter("").embed(graph, read.numpy())
    inputs = {"image_bytes": np.array([image], object)}
    expected = servable.run("serving_default", inputs)["embedding"]
    assert found.shape == (1, 5)
    assert np.sum(found * expected) > 0.9999


def test_a_version_has_the_same_tag_after_a_restart_and_another_one_not(
    tmp_path: Path,
) -> None:
    servable = Turned().servable(tmp_path / "3")
    first, again = make(servable, tmp_path), make(servable, tmp_path)
    assert first.tag == again.tag
    other = Turned(scale=2.0).servable(tmp_path / "4")
    assert make(other, tmp_path).tag != first.tag


def test_weights_that_float16_cannot_hold_stay_float32(tmp_path: Path) -> None:
    servable = Turned(scale=1e6).servable(tmp_path / "3")
    graph = graph_of(make(servable, tmp_path))
    assert kernel_type(graph) == onnx.TensorProto.FLOAT


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Turned(
            reads=lambda data: tf.image.resize(preprocessing.decode(data), (SIZE, SIZE))
        ),
        lambda: Turned(
            reads=lambda data: tf.reverse(
                preprocessing.evaluation_image(preprocessing.decode(data), SIZE), [1]
            )
        ),
    ],
)
def test_a_version_that_reads_images_in_another_way_is_refused(
    wrong: Callable[[], Turned], tmp_path: Path
) -> None:
    servable = wrong().servable(tmp_path / "3")
    with pytest.raises(ValueError, match="version 3 as ONNX does not embed as itself"):
        make(servable, tmp_path)


def test_an_op_that_onnx_lacks_is_told_with_what_works(tmp_path: Path) -> None:
    lacking = Turned(embeds=tf.math.special.bessel_j0)
    servable = lacking.servable(tmp_path / "3")
    message = "--browser_model: version 3 cannot be had as ONNX: .*Leave --browser_mod"
    with pytest.raises(ValueError, match=message):
        make(servable, tmp_path)


def test_a_version_of_encoded_images_alone_is_refused(tmp_path: Path) -> None:
    servable = Servable(1, write_saved_model(tmp_path / "1"))
    with pytest.raises(ValueError, match="version 1 has no signature serve_tensor"):
        make(servable, tmp_path)


@pytest.mark.parametrize("package", ["tf2onnx", "onnx", "onnxruntime"])
def test_a_package_that_is_missing_is_told(
    package: str, served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=f"--browser_model needs {package}: `pip"):
        make_browser_models(served.versions, [], tmp_path)


def test_models_are_made_once_for_each_that_collections_need(
    served: Served, tmp_path: Path
) -> None:
    first, second = (each.fingerprint for each in served.versions.available())
    made = make_browser_models(served.versions, [first, second, first], tmp_path)
    assert {*made} == {first, second}
    assert len({each.file for each in made.values()}) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("build", "precision"),
    [
        (build_model, "float32"),
        (build_model, "float16"),
        (build_with_everything, "float32"),
    ],
)
def test_exports_are_had(
    build: Callable[[], EmbeddingModel], precision: str, tmp_path: Path
) -> None:
    embedder = ServableEmbedder(build(), EXPORTED_SIZE, precision)
    folder = write_version(embedder, EXPORT_FORMATS.build("saved_model"), tmp_path)
    model = make(Servable(1, folder), tmp_path)
    images = preprocessing.evaluation_image(
        preprocessing.decode(picture(size=(90, 70))), EXPORTED_SIZE
    )[None].numpy()
    found = OnnxConverter("").embed(graph_of(model), images)
    expected = embedder.model(images, training=False).numpy()
    assert np.sum(found * expected) > 0.999
