"""What goes wrong while serving, as TensorFlow Serving tells it."""

from __future__ import annotations

import json

import tensorflow as tf
from tensorflow.core.protobuf import error_codes_pb2

from dce_tf.images.refusals import sentence_of

HTTP_STATUS = {
    "OK": 200,
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
    "UNAUTHENTICATED": 401,
}
"""HTTP status of each canonical code, as TensorFlow Serving maps them."""


class ServingError(Exception):
    """A request that is answered with an error.

    Args:
        code: The canonical code by name, such as `NOT_FOUND`.
        message: What the client is told.
        http: The HTTP status, where it is not that of the code.
    """

    def __init__(self, code: str, message: str, http: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.http = HTTP_STATUS[code] if http is None else http


def invalid(message: str) -> ServingError:
    """Returns the error of a request that cannot be right."""
    return ServingError("INVALID_ARGUMENT", message)


def from_tensorflow(error: tf.errors.OpError) -> ServingError:
    """Returns what a model refused, without TensorFlow's account of where."""
    message = sentence_of(str(error.message)) or type(error).__name__
    return ServingError(error_codes_pb2.Code.Name(error.error_code), message)


def error_body(message: str) -> bytes:
    """Returns the body of an answer that is an error, as TensorFlow Serving has it."""
    return json.dumps({"error": message}, indent=4, ensure_ascii=False).encode(
        "utf-8", "replace"
    )
