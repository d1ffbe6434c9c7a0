"""What every export format must do, and what each is for."""

import json
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import openvino
import pytest
from ai_edge_litert.interpreter import Interpreter

from dce_tf.base.errors import UsageError
from dce_tf.export import EXPORT_FORMATS, ServableEmbedder, write_version
from dce_tf.export.agreement import draw_images
from dce_tf.export.fingerprint import fingerprint
from dce_tf.export.versions import versions
from dce_tf.network.model import EmbeddingModel, set_precision
from tests.export.conftest import (
    CONVOLUTIONS,
    SIZE,
    build_model,
    build_with,
    build_with_everything,
)
from tests.slow import rest_is_slow

FLOATS = [name for name in EXPORT_FORMATS if name != "litert_int8"]
IMAGES = draw_images(SIZE, 5)


def real_images(count: int) -> np.ndarray:
    return draw_images(SIZE, count)


def write(name: str, model: EmbeddingModel, folder: Path, precision: str = "") -> Path:
    export_format = EXPORT_FORMATS.build(name, real_images=real_images)
    embedder = ServableEmbedder(model, SIZE, precision or export_format.precisions[0])
    return write_version(embedder, export_format, folder, {"name": "mine"}, ["a", "é"])


def embed(name: str, folder: Path, images: np.ndarray = IMAGES) -> np.ndarray:
    return EXPORT_FORMATS.build(name, real_images=real_images).embed(folder, images)


def card_of(folder: Path) -> dict[str, Any]:
    (path,) = folder.rglob("model_card.json")
    return json.loads(path.read_text("utf-8"))


@pytest.fixture(scope="module")
def written(
    model: EmbeddingModel, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("formats")
    return {name: write(name, model, root / name) for name in EXPORT_FORMATS}


@pytest.mark.parametrize("name", FLOATS)
def test_embeds_as_the_model_at_any_batch_size(
    name: str, written: dict[str, Path], model: EmbeddingModel
) -> None:
    expected = model(IMAGES).numpy()
    for count in (1, 5):
        got = embed(name, written[name], IMAGES[:count])
        np.testing.assert_allclose(got, expected[:count], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", FLOATS)
def test_layers_that_some_runtimes_lack_are_converted(
    name: str, tmp_path: Path
) -> None:
    model = build_with_everything()
    got = embed(name, write(name, model, tmp_path))
    np.testing.assert_allclose(got, model(IMAGES).numpy(), atol=1e-5)


@pytest.mark.parametrize("convolution", rest_is_slow(CONVOLUTIONS))
@pytest.mark.parametrize("name", list(EXPORT_FORMATS))
def test_every_convolution_is_had_in_the_fewest_bits_of_a_format(
    name: str, convolution: str, tmp_path: Path
) -> None:
    model = build_with(convolution)
    precision = EXPORT_FORMATS.factory(name).precisions[-1]
    folder = write(name, model, tmp_path, precision)
    got, expected = embed(name, folder), model(IMAGES).numpy()
    lowest = {"float32": 0.999999, "float16": 0.9999, "int8": 0.95}[precision]
    assert np.sum(got * expected, axis=1).min() > lowest
    assert card_of(folder)["precision"] == precision
    rounded = np.abs(got - expected).max() > 1e-6
    assert rounded == (precision != "float32")


@pytest.mark.parametrize("name", list(EXPORT_FORMATS))
def test_card_and_labels_say_what_it_is(
    name: str, written: dict[str, Path], model: EmbeddingModel
) -> None:
    card = card_of(written[name])
    assert (card["name"], card["format"], card["embedding_dim"]) == ("mine", name, 16)
    assert card["agreement_with_training"]["mean_cosine"] > 0.95
    (labels,) = written[name].rglob("labels.txt")
    assert labels.read_text("utf-8") == "a\né\n"
    assert written[name].name == "1"
    assert [path.name for path in written[name].parent.iterdir()] == ["1"]


def test_only_int8_is_another_model(written: dict[str, Path]) -> None:
    assert len({fingerprint(written[name]) for name in FLOATS}) == 1
    assert fingerprint(written["litert_int8"]) != fingerprint(written["litert"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["saved_model", "onnx", "openvino", "litert"])
def test_float16_halves_the_file(
    name: str, written: dict[str, Path], model: EmbeddingModel, tmp_path: Path
) -> None:
    folder = write(name, model, tmp_path, "float16")

    def size(version: Path) -> int:
        files = (path for path in version.rglob("*") if path.is_file())
        return max(path.stat().st_size for path in files)

    assert 0.45 < size(folder) / size(written[name]) < 0.6
    assert card_of(folder)["precision"] == "float16"
    assert fingerprint(folder) != fingerprint(written[name])
    got, expected = embed(name, folder), model(IMAGES).numpy()
    assert got.dtype == np.float32
    assert np.sum(got * expected, axis=1).min() > 0.999
    assert np.abs(got - expected).max() > 1e-6


def test_onnx_names_its_tensors_and_takes_any_batch(written: dict[str, Path]) -> None:
    graph = onnx.load(written["onnx"] / "model.onnx").graph
    for value, name in ((graph.input, "images"), (graph.output, "embedding")):
        assert [each.name for each in value] == [name]
        assert value[0].type.tensor_type.shape.dim[0].dim_param == "batch"


def test_openvino_names_its_tensors(written: dict[str, Path]) -> None:
    model = openvino.Core().read_model(written["openvino"] / "model.xml")
    assert model.input("images").partial_shape.to_string() == "[?,32,32,3]"
    assert model.output("embedding").partial_shape.to_string() == "[?,16]"


def test_card_says_how_openvino_computes_in_float32(
    written: dict[str, Path], model: EmbeddingModel
) -> None:
    settings = card_of(written["openvino"])["runtime"]
    assert settings == {"INFERENCE_PRECISION_HINT": "f32"}
    file = written["openvino"] / "model.xml"
    compiled = openvino.Core().compile_model(file, "CPU", settings)
    assert compiled.get_property("INFERENCE_PRECISION_HINT") == openvino.Type.f32
    got = compiled({"images": IMAGES})["embedding"]
    np.testing.assert_allclose(got, model(IMAGES).numpy(), atol=1e-5)


def test_int8_computes_in_whole_numbers(
    written: dict[str, Path], model: EmbeddingModel
) -> None:
    folder = written["litert_int8"]
    sizes = [
        (written[name] / "model.tflite").stat().st_size
        for name in ("litert", "litert_int8")
    ]
    assert sizes[1] < sizes[0] / 3
    interpreter = Interpreter(model_path=str(folder / "model.tflite"))
    types = {each["name"]: each["dtype"] for each in interpreter.get_tensor_details()}
    assert sum(kind == np.int8 for kind in types.values()) > len(types) / 2
    got, expected = embed("litert_int8", folder), model(IMAGES).numpy()
    assert np.sum(got * expected, axis=1).mean() > 0.95
    np.testing.assert_allclose(np.linalg.norm(got, axis=1), 1, atol=0.05)


def test_int8_without_images_says_where_to_get_them() -> None:
    with pytest.raises(UsageError, match="Export a run, or pass --dataset"):
        EXPORT_FORMATS.build("litert_int8")


@pytest.mark.slow
def test_model_trained_in_bfloat16_is_served_so_and_converted_to_float32(
    model: EmbeddingModel, written: dict[str, Path], tmp_path: Path
) -> None:
    mixed = EmbeddingModel.from_config(model.get_config())
    mixed.build((None, SIZE, SIZE, 3))
    mixed.set_weights(model.get_weights())
    set_precision(mixed.backbone, "mixed_bfloat16")
    expected = {"saved_model": mixed(IMAGES).numpy(), "onnx": model(IMAGES).numpy()}
    assert np.abs(expected["saved_model"] - expected["onnx"]).max() > 1e-4
    for name, embedding in expected.items():
        folder = write(name, mixed, tmp_path / name)
        np.testing.assert_allclose(embed(name, folder), embedding, atol=1e-5)
        same = fingerprint(folder) == fingerprint(written[name])
        assert same == (name == "onnx")


def test_export_that_does_not_agree_is_refused_and_leaves_nothing(
    model: EmbeddingModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keras_format = EXPORT_FORMATS.build("keras")
    other = EmbeddingModel.from_config(model.get_config())
    other.build((None, SIZE, SIZE, 3))

    def wrong(embedder: ServableEmbedder, folder: Path) -> None:
        other.save(folder / "model.keras")

    monkeypatch.setattr(keras_format, "write", wrong)
    with pytest.raises(ValueError, match=r"keras export does not embed .* cosine was"):
        write_version(ServableEmbedder(model, SIZE), keras_format, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_version_is_in_place_only_after_what_it_waits_for(
    model: EmbeddingModel, tmp_path: Path
) -> None:
    embedder = ServableEmbedder(model, SIZE)
    keras_format = EXPORT_FORMATS.build("keras")

    def fail() -> None:
        assert versions(tmp_path) == []
        raise OSError("no room for plots")

    with pytest.raises(OSError, match="no room for plots"):
        write_version(embedder, keras_format, tmp_path, wait=fail)
    assert list(tmp_path.iterdir()) == []
    write_version(embedder, keras_format, tmp_path)
    assert versions(tmp_path) == [1]


def test_converter_that_fails_is_named_with_its_reason(
    model: EmbeddingModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: object, embedder: ServableEmbedder, folder: Path) -> None:
        raise RuntimeError("no op for this layer.\nand much more")

    monkeypatch.setattr(EXPORT_FORMATS.factory("openvino"), "write", fail)
    with pytest.raises(ValueError, match=r"as openvino: no op for this layer\. "):
        write("openvino", model, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_weights_too_large_for_float16_are_refused(tmp_path: Path) -> None:
    model = build_model()
    model.embedding.kernel.assign(model.embedding.kernel * 1e6)
    with pytest.raises(ValueError, match="min cosine was nan"):
        write("onnx", model, tmp_path, "float16")


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("onnx", "tf2onnx"),
        ("onnx", "onnxruntime"),
        ("openvino", "openvino"),
        ("litert", "ai_edge_litert.interpreter"),
    ],
)
def test_missing_library_is_named_with_its_remedy(
    name: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    remedy = rf"needs {module}: `pip install \S+`, .* `pip install '\.\[formats\]'`"
    with pytest.raises(UsageError, match=remedy):
        EXPORT_FORMATS.build(name)


def test_keras_file_is_an_embedding_model(written: dict[str, Path]) -> None:
    path = written["keras"] / "model.keras"
    assert isinstance(keras.models.load_model(path), EmbeddingModel)
