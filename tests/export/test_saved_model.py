import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2

from dce_tf import images
from dce_tf.export import export_saved_model
from dce_tf.model import EmbeddingModel
from tests.export.conftest import SIZE

RUNNER = Path(__file__).with_name("run_saved_model.py")


def picture(
    kind: str, mode: str, size: tuple[int, int], seed: int, **options: bytes
) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


BATCH = [
    picture("JPEG", "RGB", (40, 50), 0),
    picture("PNG", "RGBA", (90, 33), 1),
    picture("GIF", "P", (32, 32), 2),
    picture("BMP", "RGB", (10, 64), 3),
    picture("WEBP", "RGB", (64, 48), 4),
    picture("JPEG", "L", (41, 41), 5),
    picture(
        "JPEG",
        "RGB",
        (40, 60),
        6,
        exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0",
    ),
]


def evaluated(model: EmbeddingModel, batch: list[bytes]) -> np.ndarray:
    read = [images.evaluation_image(images.decode(data), SIZE) for data in batch]
    return model(tf.stack(read)).numpy()


def signature(folder: Path, name: str) -> list[str]:
    proto = saved_model_pb2.SavedModel()
    proto.ParseFromString((folder / "saved_model.pb").read_bytes())
    found = proto.meta_graphs[0].signature_def[name]
    ((_, source),) = found.inputs.items()
    ((_, target),) = found.outputs.items()
    return [source.name, target.name]


def run_in_c(
    folder: Path, name: str, tmp_path: Path, **request: np.ndarray
) -> np.ndarray:
    np.savez(tmp_path / "request.npz", **request)
    words = [folder, json.dumps(signature(folder, name)), tmp_path / "request.npz"]
    done = subprocess.run(
        [sys.executable, RUNNER, *words, tmp_path / "result.npy"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return np.load(tmp_path / "result.npy")


def as_bytes(batch: list[bytes]) -> dict[str, np.ndarray]:
    return {
        "bytes": np.frombuffer(b"".join(batch), np.uint8),
        "lengths": np.array([len(data) for data in batch], np.int64),
    }


def test_signatures_are_those_of_the_contract(exported: Path) -> None:
    loaded = tf.saved_model.load(exported)
    assert set(loaded.signatures) == {"serving_default", "serve_tensor"}
    _, encoded = loaded.signatures["serving_default"].structured_input_signature
    assert encoded == {"image_bytes": tf.TensorSpec((None,), tf.string, "image_bytes")}
    _, decoded = loaded.signatures["serve_tensor"].structured_input_signature
    shape = (None, SIZE, SIZE, 3)
    assert decoded == {"images": tf.TensorSpec(shape, tf.float32, "images")}
    for function in loaded.signatures.values():
        assert function.structured_outputs["embedding"].shape.as_list() == [None, 16]


def test_mixed_batch_equals_evaluation_without_python(
    exported: Path, model: EmbeddingModel, tmp_path: Path
) -> None:
    got = run_in_c(exported, "serving_default", tmp_path, **as_bytes(BATCH))
    cosine = np.sum(got * evaluated(model, BATCH), axis=1)
    assert cosine.min() >= 0.9999
    np.testing.assert_allclose(np.linalg.norm(got, axis=1), 1, rtol=1e-5)


def test_decoded_images_equal_the_model_without_python(
    exported: Path, model: EmbeddingModel, tmp_path: Path
) -> None:
    given = np.random.default_rng(0).uniform(0, 255, (3, SIZE, SIZE, 3))
    given = given.astype(np.float32)
    got = run_in_c(exported, "serve_tensor", tmp_path, images=given)
    np.testing.assert_allclose(got, model(given), atol=1e-5)


def test_empty_batch_gives_no_embeddings(exported: Path) -> None:
    served = tf.saved_model.load(exported).signatures
    empty = served["serving_default"](image_bytes=tf.zeros((0,), tf.string))
    assert empty["embedding"].shape == (0, 16)


def test_damaged_image_fails_with_the_runtimes_message(
    exported: Path, tmp_path: Path
) -> None:
    with pytest.raises(RuntimeError, match="Unknown image file format"):
        run_in_c(
            exported, "serving_default", tmp_path, **as_bytes([b"no image at all"])
        )


def test_runner_refuses_a_model_that_needs_python(tmp_path: Path) -> None:
    module = tf.Module()

    def python(data: tf.Tensor) -> tf.Tensor:
        return tf.numpy_function(
            lambda x: np.zeros((len(x), 2), np.float32), [data], tf.float32
        )

    function = tf.function(python, input_signature=[tf.TensorSpec((None,), tf.string)])
    tf.saved_model.save(
        module, tmp_path / "bad", signatures=function.get_concrete_function()
    )
    with pytest.raises(RuntimeError, match="PyFunc"):
        run_in_c(tmp_path / "bad", "serving_default", tmp_path, **as_bytes(BATCH[:1]))


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
    model: EmbeddingModel, tmp_path: Path
) -> None:
    card = {"name": "é", "license": {"model": None}}
    folder = export_saved_model(model, SIZE, tmp_path, card, ["apple", "kiwi é"])
    assets = folder / "assets.extra"
    written = json.loads((assets / "model_card.json").read_text("utf-8"))
    assert written == {**written, **card}
    assert written["preprocessing"]["image_size"] == SIZE
    assert (assets / "labels.txt").read_text("utf-8") == "apple\nkiwi é\n"
    plain = export_saved_model(model, SIZE, tmp_path)
    assert {path.name for path in (plain / "assets.extra").iterdir()} == {
        "model_card.json",
        "tf_serving_warmup_requests",
    }
