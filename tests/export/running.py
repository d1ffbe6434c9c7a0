"""Pictures to send, and a SavedModel's answer to them without Python TensorFlow."""

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image
from tensorflow.core.protobuf import saved_model_pb2

from dce_tf.images import preprocessing
from dce_tf.network.model import EmbeddingModel
from tests.export.conftest import SIZE

RUNNER = Path(__file__).with_name("run_saved_model.py")


def picture(
    kind: str, mode: str, size: tuple[int, int], seed: int, **options: bytes
) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


ON_ITS_SIDE = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0"
# Every kind of file, upright and not, larger and smaller than the input.
BATCH = [
    picture("JPEG", "RGB", (40, 50), 0),
    picture("PNG", "RGBA", (90, 33), 1),
    picture("GIF", "P", (32, 32), 2),
    picture("BMP", "RGB", (10, 64), 3),
    picture("WEBP", "RGB", (64, 48), 4),
    picture("JPEG", "L", (41, 41), 5),
    picture("PNG", "P", (50, 40), 7),
    picture("JPEG", "RGB", (300, 200), 8),
    picture("JPEG", "RGB", (40, 60), 6, exif=ON_ITS_SIDE),
    picture("JPEG", "RGB", (250, 400), 9, exif=ON_ITS_SIDE),
]


def pixels(batch: list[bytes]) -> tf.Tensor:
    read = [
        preprocessing.evaluation_image(preprocessing.open_picture(data), SIZE)
        for data in batch
    ]
    return tf.stack(read)


def evaluated(model: EmbeddingModel, batch: list[bytes]) -> np.ndarray:
    return model(pixels(batch)).numpy()


def as_bytes(batch: list[bytes]) -> dict[str, np.ndarray]:
    return {
        "bytes": np.frombuffer(b"".join(batch), np.uint8),
        "lengths": np.array([len(data) for data in batch], np.int64),
    }


def run_in_c(
    folder: Path, name: str, tmp_path: Path, **request: np.ndarray
) -> dict[str, np.ndarray]:
    np.savez(tmp_path / "request.npz", **request)
    words = [folder, json.dumps(_signature(folder, name)), tmp_path / "request.npz"]
    done = subprocess.run(
        [sys.executable, RUNNER, *words, tmp_path / "result.npz"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return dict(np.load(tmp_path / "result.npz"))


def _signature(folder: Path, name: str) -> tuple[str, dict[str, str]]:
    proto = saved_model_pb2.SavedModel()
    proto.ParseFromString((folder / "saved_model.pb").read_bytes())
    found = proto.meta_graphs[0].signature_def[name]
    ((_, source),) = found.inputs.items()
    return source.name, {key: target.name for key, target in found.outputs.items()}
