"""A request of REST and its answer, and short ways to write one."""

from typing import Any, NamedTuple

MODEL = "/v1/models/embedder"
PREDICT = f"{MODEL}:predict"
DEEP = "[" * 5000 + "]" * 5000

JSON = "util/json_tensor.cc"
JSON_TEST = "util/json_tensor_test.cc"
HANDLER = "model_servers/http_rest_api_handler.cc"
HANDLER_TEST = "model_servers/http_rest_api_handler_test.cc"
URL = "model_servers/http_rest_api_util.cc"
EVHTTP = "util/net_http/server/internal/evhttp_request.cc"
STATUS = "model_servers/get_model_status_impl.cc"
CORE = "model_servers/server_core.cc"
CLASSIFIER = "servables/tensorflow/classifier.cc"
REGRESSOR = "servables/tensorflow/regressor.cc"
PREDICT_IMPL = "servables/tensorflow/predict_impl.cc"
PREDICT_UTIL = "servables/tensorflow/predict_util.cc"
CLASSIFICATION = "servables/tensorflow/classification_service.cc"
REGRESSION = "servables/tensorflow/regression_service.cc"
METADATA = "servables/tensorflow/get_model_metadata_impl.cc"
INFERENCE = "servables/tensorflow/multi_inference.cc"
GRPC_STATUS = "model_servers/grpc_status_util.cc"
RAPIDJSON = "rapidjson/error/en.h"
READER = "rapidjson/reader.h"


class Case(NamedTuple):
    """A request and its answer.

    Attributes:
        source: Where TensorFlow Serving says so.
        method: Of HTTP.
        url: Its path.
        body: What is sent.
        status: Of HTTP.
        answer: The message of an error, all of the JSON, or None if only the status is
            the same.
    """

    source: str
    method: str
    url: str
    body: str | bytes
    status: int
    answer: Any


def get(source: str, url: str, status: int, answer: Any) -> Case:
    return Case(source, "GET", url, "", status, answer)


def post(
    source: str, body: str | bytes, status: int, answer: Any, url: str = PREDICT
) -> Case:
    return Case(source, "POST", url, body, status, answer)


def rows(source: str, signature: str, instances: str, answer: Any) -> Case:
    body = f'{{"signature_name": "{signature}", "instances": {instances}}}'
    return post(source, body, 200, {"predictions": answer})


def no_rows(source: str, signature: str, instances: str, error: str) -> Case:
    body = f'{{"signature_name": "{signature}", "instances": {instances}}}'
    return post(source, body, 400, error)


def columns(source: str, signature: str, inputs: str, answer: Any) -> Case:
    body = f'{{"signature_name": "{signature}", "inputs": {inputs}}}'
    return post(source, body, 200, {"outputs": answer})


def no_columns(
    source: str, signature: str, inputs: str, error: str, status: int = 400
) -> Case:
    body = f'{{"signature_name": "{signature}", "inputs": {inputs}}}'
    return post(source, body, status, error)


def item(number: int, error: str, key: str = "") -> str:
    place = f"{number} key: {key}" if key else f"{number}"
    return (
        f"Failed to process element: {place} of 'instances' list. Error: "
        f"INVALID_ARGUMENT: {error}"
    )


def wrong_type(value: str, kind: str, expected: str) -> str:
    return f"JSON Value: {value} Type: {kind} is not of expected type: {expected}"


def malformed(source: str, method: str, url: str) -> Case:
    return Case(source, method, url, "", 400, f"Malformed request: {method} {url}")


def unread(body: str | bytes, message: str, source: str = RAPIDJSON) -> Case:
    return post(source, body, 400, f"JSON Parse error: {message}")


ECHO = '{"signature_name": "echo", "instances": [3]}'
