"""Requests that TensorFlow Serving answers before it says that a model is ready."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

FILE = "tf_serving_warmup_requests"
BATCH_SIZES = (1, 8)


def write_warmup(
    folder: Path, image_size: int, more_from_bytes: Sequence[str] = ()
) -> Path:
    """Writes a few requests per signature, so that the first real one is fast.

    Args:
        folder: `assets.extra` of a SavedModel.
        image_size: Side of the model's input in pixels.
        more_from_bytes: Signatures beside the two of the contract, which take
            `image_bytes` too.

    Returns:
        The file, of TFRecords of `tensorflow.serving.PredictionLog`.
    """
    grey = tf.fill((image_size, image_size, 3), tf.constant(128, tf.uint8))
    encoded = tf.io.encode_jpeg(grey)
    images = tf.cast(grey, tf.float32)
    requests = [("serving_default", "image_bytes", encoded)]
    requests += [("serve_tensor", "images", images)]
    requests += [(name, "image_bytes", encoded) for name in more_from_bytes]
    path = folder / FILE
    with tf.io.TFRecordWriter(str(path)) as writer:
        for size in BATCH_SIZES:
            for signature, name, value in requests:
                request = predict_pb2.PredictRequest()
                request.model_spec.name = "embedder"
                request.model_spec.signature_name = signature
                batch = tf.stack([value] * size)
                request.inputs[name].CopyFrom(tf.make_tensor_proto(batch.numpy()))
                log = prediction_log_pb2.PredictionLog(
                    predict_log=prediction_log_pb2.PredictLog(request=request)
                )
                writer.write(log.SerializeToString())
    return path
