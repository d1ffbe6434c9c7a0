import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2

from dce_tf.export import ServableEmbedder, export_saved_model, write_version
from dce_tf.export.formats.saved_model import SavedModel
from dce_tf.network.model import EmbeddingModel
from tests.export.conftest import SIZE, build_with_everything
from tests.export.running import BATCH, as_bytes, evaluated, run_in_c

DECODERS = ("DecodeImage", "DecodeJpeg", "DecodeAndCropJpeg", "DecodePng", "DecodeBmp")


def test_signatures_are_those_of_the_contract(exported: Path) -> None:
    loaded = tf.saved_model.load(exported)
    assert set(loaded.signatures) == {"serving_default", "serve_tensor", "explain"}
    _, encoded = loaded.signatures["serving_default"].structured_input_signature
    assert encoded == {"image_bytes": tf.TensorSpec((None,), tf.string, "image_bytes")}
    _, decoded = loaded.signatures["serve_tensor"].structured_input_signature
    shape = (None, SIZE, SIZE, 3)
    assert decoded == {"images": tf.TensorSpec(shape, tf.float32, "images")}
    for name in ("serving_default", "serve_tensor"):
        outputs = loaded.signatures[name].structured_outputs
        assert {key: each.shape.as_list() for key, each in outputs.items()} == {
            "embedding": [None, 16]
        }


def test_mixed_batch_equals_evaluation_without_python(
    exported: Path, model: EmbeddingModel, tmp_path: Path
) -> None:
    received = run_in_c(exported, "serving_default", tmp_path, **as_bytes(BATCH))
    got = received["embedding"]
    cosine = np.sum(got * evaluated(model, BATCH), axis=1)
    assert cosine.min() >= 0.9999
    np.testing.assert_allclose(np.linalg.norm(got, axis=1), 1, rtol=1e-5)


def test_photographs_equal_evaluation_without_python(
    exported: Path, model: EmbeddingModel, shared: Path, tmp_path: Path
) -> None:
    files = sorted((shared / "data" / "grocery" / "images").rglob("*.jpg"))[::400]
    photographs = [path.read_bytes() for path in files]
    received = run_in_c(exported, "serving_default", tmp_path, **as_bytes(photographs))
    cosine = np.sum(received["embedding"] * evaluated(model, photographs), axis=1)
    assert cosine.min() >= 0.9999


def test_images_of_a_batch_are_decoded_side_by_side_on_the_cpu(exported: Path) -> None:
    proto = saved_model_pb2.SavedModel.FromString(
        (exported / "saved_model.pb").read_bytes()
    )
    library = proto.meta_graphs[0].graph_def.library
    within = {each.signature.name: list(each.node_def) for each in library.function}
    nodes = [node for found in within.values() for node in found]

    def decodes(name: str) -> bool:
        calls = [attr for node in within[name] for attr in node.attr.values()]
        called = {
            func.name for attr in calls for func in (attr.func, *attr.list.func)
        } & within.keys()
        return any(node.op in DECODERS for node in within[name]) or any(
            map(decodes, called)
        )

    loops = [node for node in nodes if node.op in ("While", "StatelessWhile")]
    loops = [loop for loop in loops if decodes(loop.attr["body"].func.name)]
    assert len(loops) == 1, "all signatures share one graph that decodes"
    for loop in loops:
        assert loop.attr["parallel_iterations"].i == 32
        assert loop.attr["_lower_using_switch_merge"].b
    decoders = [node for node in nodes if node.op in DECODERS]
    assert decoders
    assert all("CPU:0" in node.device for node in [*loops, *decoders])


def test_decoded_images_equal_the_model_without_python(
    exported: Path, model: EmbeddingModel, tmp_path: Path
) -> None:
    given = np.random.default_rng(0).uniform(0, 255, (3, SIZE, SIZE, 3))
    given = given.astype(np.float32)
    received = run_in_c(exported, "serve_tensor", tmp_path, images=given)
    np.testing.assert_allclose(received["embedding"], model(given), atol=1e-5)


@pytest.mark.slow
def test_float16_halves_the_weights_and_equals_evaluation_without_python(
    exported: Path, model: EmbeddingModel, tmp_path: Path
) -> None:
    embedder = ServableEmbedder(model, SIZE, "float16")
    folder = write_version(embedder, SavedModel(), tmp_path / "export")
    data = "variables/variables.data-00000-of-00001"
    weights = 4 * model.count_params()
    assert weights < (exported / data).stat().st_size < 1.1 * weights
    assert weights / 2 < (folder / data).stat().st_size < 1.1 * weights / 2
    received = run_in_c(folder, "serving_default", tmp_path, **as_bytes(BATCH))
    got = received["embedding"]
    assert got.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(got, axis=1), 1, rtol=1e-5)
    expected = evaluated(model, BATCH)
    assert np.sum(got * expected, axis=1).min() >= 0.9999
    assert np.abs(got - expected).max() > 1e-6


def test_any_network_and_no_images_at_all_without_python(tmp_path: Path) -> None:
    model = build_with_everything()
    folder = export_saved_model(model, SIZE, tmp_path / "export")
    received = run_in_c(folder, "serving_default", tmp_path, **as_bytes(BATCH))
    expected = evaluated(model, BATCH)
    np.testing.assert_allclose(received["embedding"], expected, atol=1e-5)
    nothing = {"bytes": np.zeros(0, np.uint8), "lengths": np.zeros(0, np.int64)}
    empty = run_in_c(folder, "serving_default", tmp_path, **nothing)
    assert empty["embedding"].shape == (0, 16)
    images = np.zeros((0, SIZE, SIZE, 3), np.float32)
    empty = run_in_c(folder, "serve_tensor", tmp_path, images=images)
    assert empty["embedding"].shape == (0, 16)


def test_damaged_image_fails_with_the_runtimes_message(
    exported: Path, tmp_path: Path
) -> None:
    with pytest.raises(RuntimeError, match="not an image; expected JPEG, PNG"):
        run_in_c(
            exported, "serving_default", tmp_path, **as_bytes([b"no image at all"])
        )


@pytest.mark.slow
def test_every_export_is_a_new_version(model: EmbeddingModel, tmp_path: Path) -> None:
    assert export_saved_model(model, SIZE, tmp_path).name == "1"
    (tmp_path / "7").mkdir()
    assert export_saved_model(model, SIZE, tmp_path).name == "8"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "7", "8"]


def test_warm_up_requests_are_answered_by_the_model(exported: Path) -> None:
    served = tf.saved_model.load(str(exported))
    file = exported / "assets.extra" / "tf_serving_warmup_requests"
    seen = set()
    for record in tf.data.TFRecordDataset([str(file)]):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        request = log.predict_log.request
        signature = served.signatures[request.model_spec.signature_name]
        inputs = {k: tf.constant(tf.make_ndarray(v)) for k, v in request.inputs.items()}
        embedding = signature(**inputs)["embedding"]
        seen.add((request.model_spec.signature_name, embedding.shape[0]))
        np.testing.assert_allclose(np.linalg.norm(embedding, axis=1), 1, rtol=1e-5)
    assert seen == {(s, n) for s in ("serving_default", "serve_tensor") for n in (1, 8)}


def test_card_and_labels_lie_beside_the_model(
    model: EmbeddingModel, exported: Path, tmp_path: Path
) -> None:
    card = {"name": "é", "license": {"model": None}}
    folder = export_saved_model(model, SIZE, tmp_path, card, ["apple", "kiwi é"])
    assets = folder / "assets.extra"
    written = json.loads((assets / "model_card.json").read_text("utf-8"))
    assert written == {**written, **card}
    assert written["preprocessing"]["image_size"] == SIZE
    assert written["agreement_with_training"]["min_cosine"] >= 0.9999
    assert (assets / "labels.txt").read_text("utf-8") == "apple\nkiwi é\n"
    assert {path.name for path in (exported / "assets.extra").iterdir()} == {
        "model_card.json",
        "tf_serving_warmup_requests",
    }
