"""One version of a model, loaded."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2

from dce_tf.export.fingerprint import fingerprint
from dce_tf.export.place_codes import place_codes_of
from dce_tf.images.webp import announce_alpha
from dce_tf.serving.model.signatures import Array, Arrays, Signature, read_signatures

MODEL_FILE = "saved_model.pb"
DEFAULT_SIGNATURE = "serving_default"
_WARMUP_FILE = Path("assets.extra", "tf_serving_warmup_requests")
_MOST_WARMUPS = 1000


class Servable:
    """A SavedModel that answers.

    Args:
        version: Its number.
        folder: Where it lies. It answers the warm-up requests there before this
            returns.

    Raises:
        Exception: Whatever TensorFlow raises for what it cannot load, or cannot answer.

    Attributes:
        place_codes: Which codes of places it gives; None if it gives none.
        warmup_seconds: How long the warm-up requests took; None if there are none.
    """

    def __init__(self, version: int, folder: Path) -> None:
        self.version = version
        self.folder = folder
        self.definitions = _read_definitions(folder / MODEL_FILE)
        self.signatures = read_signatures(self.definitions)
        self.fingerprint = fingerprint(folder)
        self.place_codes = place_codes_of(folder)
        self._model = tf.saved_model.load(str(folder))
        self.warmup_seconds = self._warm_up(folder / _WARMUP_FILE)

    def signature(self, name: str) -> Signature | None:
        """Returns the signature a request names; the default one for no name."""
        return self.signatures.get(name or DEFAULT_SIGNATURE)

    def function(self, name: str) -> Any:
        """Returns a signature as TensorFlow calls it, for converters."""
        return self._model.signatures[name]

    def _warm_up(self, path: Path) -> float | None:
        if not path.is_file():
            return None
        started = time.perf_counter()
        for name, inputs in _read_warmups(path):
            self.run(name, inputs)
        return time.perf_counter() - started

    def run(self, name: str, inputs: Arrays) -> Arrays:
        """Calls a signature.

        Args:
            name: Which; as in `signatures`.
            inputs: All it takes, checked.

        Returns:
            What it gives, by name.
        """
        types = self.signatures[name].inputs
        tensors = {
            key: tf.constant(_safe(value), types[key].dtype)
            for key, value in inputs.items()
        }
        outputs = self._model.signatures[name](**tensors)
        return {key: _to_array(value) for key, value in outputs.items()}


def _to_array(tensor: tf.Tensor) -> Array:
    # A scalar string is bytes, of which NumPy would drop zeros at the end.
    return np.asarray(tensor.numpy(), object if tensor.dtype == tf.string else None)


def _safe(value: Array) -> Array:
    """Returns a tensor whose images do no harm to a model exported earlier."""
    if value.dtype != object:
        return value
    safe = [announce_alpha(item) for item in value.flat]
    return np.array(safe, object).reshape(value.shape)


def _read_definitions(path: Path) -> Mapping[str, Any]:
    """Returns the `SignatureDef`s of a SavedModel, those for its own use too."""
    model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    for graph in model.meta_graphs:
        if "serve" in graph.meta_info_def.tags:
            return dict(graph.signature_def)
    raise ValueError(f"{path} holds no graph with the tag 'serve'.")


def _read_warmups(path: Path) -> Iterator[tuple[str, Arrays]]:
    """Yields the requests to `predict` that a model wants to be asked first."""
    records = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    for record in itertools.islice(records, _MOST_WARMUPS):
        log = prediction_log_pb2.PredictionLog.FromString(record)
        if log.HasField("predict_log"):
            request = log.predict_log.request
            name = request.model_spec.signature_name or DEFAULT_SIGNATURE
            yield (
                name,
                {key: tf.make_ndarray(value) for key, value in request.inputs.items()},
            )
