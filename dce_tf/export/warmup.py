"""Requests that TensorFlow Serving answers before it says that a model is ready."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

FILE = "tf_serving_warmup_requests"
BATCH_SIZES = (1, 8)
_SIDE = 256  # Of the picture in the requests that hold an image file, in pixels.


def write_warmup(folder: Path, signatures: Mapping[str, Any]) -> Path:
    """Writes a few requests a signature, so that the first real one is fast.

    Args:
        folder: `assets.extra` of a SavedModel.
        signatures: The functions served, by name, each with one input: `image_bytes`,
            string `(batch,)`, or images, float32 `(batch, height, width, 3)`.

    Returns:
        The file, of TFRecords of `tensorflow.serving.PredictionLog`.
    """
    path = folder / FILE
    with tf.io.TFRecordWriter(str(path)) as writer:
        for size in BATCH_SIZES:
            for name, function in signatures.items():
                (spec,) = function.input_signature
                request = predict_pb2.PredictRequest()
                request.model_spec.name = "embedder"
                request.model_spec.signature_name = name
                batch = tf.stack([_example(spec)] * size)
                request.inputs[spec.name].CopyFrom(tf.make_tensor_proto(batch.numpy()))
                log = prediction_log_pb2.PredictionLog(
                    predict_log=prediction_log_pb2.PredictLog(request=request)
                )
                writer.write(log.SerializeToString())
    return path


def _example(spec: Any) -> Any:
    if spec.dtype == tf.string:
        return tf.io.encode_jpeg(tf.fill((_SIDE, _SIDE, 3), tf.constant(128, tf.uint8)))
    return tf.fill(spec.shape[1:], 128.0)
