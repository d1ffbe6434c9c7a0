"""Bodies and codes of errors, as TensorFlow Serving's sources have them."""

import json
from typing import Any

import pytest

from tests.serving.conftest import Client

PREDICT = "/v1/models/embedder:predict"
ITEM = "Failed to process element: {} of 'instances' list. Error: INVALID_ARGUMENT: {}"


def shown(document: Any) -> str:
    return json.dumps(document, indent=4)


# Method, URL, status, error.
URLS = [
    ("GET", "/v1/foo", 400, "Malformed request: GET /v1/foo"),
    ("POST", "/v1/foo", 400, "Malformed request: POST /v1/foo"),
    ("POST", "/v1/models", 400, "Malformed request: POST /v1/models"),
    ("GET", "/v1/models", 400, "Missing model name in request."),
    ("GET", "/v1/models/a/b", 400, "Malformed request: GET /v1/models/a/b"),
    ("GET", PREDICT, 400, f"Malformed request: GET {PREDICT}"),
    ("HEAD", "/v1/models/embedder", 400, None),
    (
        "PUT",
        "/v1/models/embedder",
        400,
        "Malformed request: PUT /v1/models/embedder",
    ),
    (
        "DELETE",
        "/v1/models/embedder",
        400,
        "Malformed request: DELETE /v1/models/embedder",
    ),
    (
        "POST",
        "/v1/models/embedder:PREDICT",
        400,
        "Malformed request: POST /v1/models/embedder:PREDICT",
    ),
    (
        "POST",
        "/v1/models/embedder:explain",
        400,
        "Malformed request: POST /v1/models/embedder:explain",
    ),
    (
        "POST",
        "/v1/models/embedder/version/50:predict",
        400,
        "Malformed request: POST /v1/models/embedder/version/50:predict",
    ),
    (
        "POST",
        "/v1/models/embedder/versions/HELLO:predict",
        400,
        "Malformed request: POST /v1/models/embedder/versions/HELLO:predict",
    ),
    (
        "POST",
        "/v1/models/embedder/versions/1/labels/x:predict",
        400,
        "Malformed request: POST /v1/models/embedder/versions/1/labels/x:predict",
    ),
    (
        "POST",
        "/v1/models/embedder/metadata",
        400,
        "Malformed request: POST /v1/models/embedder/metadata",
    ),
    (
        "POST",
        "/v1/models/embedder/versions/18446744073709551615:predict",
        400,
        "Failed to convert version: 18446744073709551615 to numeric.",
    ),
    (
        "GET",
        f"/v1/models/embedder/versions/{'9' * 5000}",
        400,
        f"Failed to convert version: {'9' * 5000} to numeric.",
    ),
    ("GET", "/v1/models/foo", 404, "Could not find any versions of model foo"),
    ("GET", "/v1/models/a%20b", 404, "Could not find any versions of model a b"),
    (
        "GET",
        "/v1/models/embedder?x=1",
        404,
        "Could not find any versions of model embedder?x=1",
    ),
    (
        "GET",
        "/v1/models/embedder/versions/7",
        404,
        "Could not find version 7 of model embedder",
    ),
    (
        "GET",
        "/v1/models/foo/metadata",
        404,
        "Servable not found for request: Latest(foo)",
    ),
    (
        "GET",
        "/v1/models/embedder/versions/7/metadata",
        404,
        "Servable not found for request: Specific(embedder, 7)",
    ),
]

# URL, body, status, error.
BODIES: list[tuple[str, Any, int, str]] = [
    (PREDICT, b"", 400, "JSON Parse error: The document is empty"),
    (
        PREDICT,
        b"instances = [1, 2]",
        400,
        "JSON Parse error: Invalid value. at offset: 0",
    ),
    (PREDICT, [1], 400, f"JSON Value: {shown([1])} Is not object"),
    (
        PREDICT,
        {"signature_name": 100},
        400,
        f"JSON Value: {shown({'signature_name': 100})} not formatted correctly. "
        "'signature_name' key must be a string value.",
    ),
    (
        "/v1/models/foo:predict",
        {"instances": [1]},
        404,
        "Servable not found for request: Latest(foo)",
    ),
    (
        "/v1/models/embedder/versions/7:predict",
        {"instances": [1]},
        404,
        "Servable not found for request: Specific(embedder, 7)",
    ),
    (
        "/v1/models/embedder/labels/nope:predict",
        {"instances": [1]},
        400,
        "Unrecognized servable version label: nope",
    ),
    (
        "/v1/models/embedder/labels/lost:predict",
        {"instances": [1]},
        404,
        "Servable not found for request: Specific(embedder, 9)",
    ),
    (
        PREDICT,
        {"signature_name": "x", "instances": [1]},
        400,
        'Serving signature name: "x" not found in signature def',
    ),
    (
        PREDICT,
        {"signature_name": "__saved_model_init_op", "instances": [1]},
        400,
        "Failed to get input map for signature: __saved_model_init_op",
    ),
    (PREDICT, {}, 400, "Missing 'inputs' or 'instances' key"),
    (
        PREDICT,
        {"instances": 1},
        400,
        f"JSON Value: {shown({'instances': 1})} Excepting 'instances' to be an "
        "list/array",
    ),
    (
        PREDICT,
        {"instances": []},
        400,
        f"JSON Value: {shown({'instances': []})} No values in 'instances' array",
    ),
    (
        PREDICT,
        {"instances": [1], "inputs": [1]},
        400,
        f"JSON Value: {shown({'instances': [1], 'inputs': [1]})} Not formatted "
        "correctly expecting only one of 'inputs' or 'instances' keys to exist ",
    ),
    (
        PREDICT,
        {"instances": [{"foo": 1}]},
        400,
        "Failed to process element: 0 key: foo of 'instances' list. Error: "
        "INVALID_ARGUMENT: JSON object: does not have named input: foo",
    ),
    (
        PREDICT,
        {"instances": [{}]},
        400,
        "Failed to process element: 0 of 'instances' list. JSON object: {} must only "
        "have keys: image_bytes",
    ),
    (
        PREDICT,
        {"instances": [{"image_bytes": 1}]},
        400,
        "Failed to process element: 0 key: image_bytes of 'instances' list. Error: "
        "INVALID_ARGUMENT: JSON Value: 1 Type: Number is not of expected type: string",
    ),
    (
        PREDICT,
        {"instances": ["x", None]},
        400,
        ITEM.format(1, "JSON Value: null Type: Null is not of expected type: string"),
    ),
    (
        PREDICT,
        {"instances": [{"image_bytes": "x"}, [1]]},
        400,
        "Expecting object but got list at item 1 of input list",
    ),
    (
        PREDICT,
        {"instances": [{"b64": "eA=="}, {"image_bytes": "x"}]},
        400,
        "Expecting value/list but got object at item 1 of input list",
    ),
    (
        PREDICT,
        {"instances": [{"b64": "!"}]},
        400,
        ITEM.format(0, "Unable to base64 decode"),
    ),
    (
        PREDICT,
        {"instances": [[{"b64": 1}]]},
        400,
        ITEM.format(
            0,
            f"JSON Value: {shown({'b64': 1})} not formatted correctly for base64 data",
        ),
    ),
    (
        PREDICT,
        {"inputs": {"foo": ["x"]}},
        400,
        "Missing named input: image_bytes in 'inputs' object.",
    ),
    (
        PREDICT,
        {"inputs": [[1], 2]},
        400,
        "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: "
        "2",
    ),
    (
        PREDICT,
        {"inputs": [1, [2]]},
        400,
        "Encountered list at unexpected level: 1 expected < 1",
    ),
    (
        PREDICT,
        {"inputs": [[1], [2, 3]]},
        400,
        "Encountered list at unexpected size: 2 at level: 1 expected size: 1",
    ),
    (
        PREDICT,
        {"signature_name": "echo", "instances": [1.0, [1.0]]},
        400,
        ITEM.format(1, "Expecting shape [] but got: [1]"),
    ),
    (
        PREDICT,
        {"signature_name": "alike", "instances": [[1.0, 2.0], [1.0]]},
        400,
        ITEM.format(1, "Expecting tensor size: 2 but got: 1"),
    ),
    (
        PREDICT,
        {"signature_name": "echo", "instances": [16777217]},
        400,
        ITEM.format(
            0,
            "Cannot convert JSON value: 16777217 to float without loss of precision.",
        ),
    ),
    (
        PREDICT,
        b'{"signature_name": "echo", "instances": [1e39]}',
        400,
        ITEM.format(
            0, "Cannot convert JSON value: 1e+39 to float without loss of precision."
        ),
    ),
    (
        PREDICT,
        {"signature_name": "total", "inputs": [9007199254740993]},
        400,
        "Cannot convert JSON value: 9007199254740993 to double without loss of "
        "precision.",
    ),
    (
        PREDICT,
        {"signature_name": "echo", "instances": [True]},
        400,
        ITEM.format(0, "JSON Value: true Type: True is not of expected type: float"),
    ),
    (
        PREDICT,
        {"signature_name": "mixed", "instances": ["x"]},
        400,
        "instances is a plain list, but expecting list of objects as multiple input "
        "tensors required as per tensorinfo_map",
    ),
    (
        PREDICT,
        {"signature_name": "mixed", "inputs": ["x"]},
        400,
        "inputs is a plain value/list, but expecting an object as multiple input "
        "tensors required as per tensorinfo_map",
    ),
    (
        PREDICT,
        {"signature_name": "total", "instances": [1.0]},
        400,
        "Tensor name: total has no shape information ",
    ),
    (
        "/v1/models/embedder:classify",
        {"instances": [1]},
        400,
        f"JSON Value: {shown({'instances': [1]})} When method is classify, key "
        "'examples' is expected and was not found",
    ),
    (
        "/v1/models/embedder:classify",
        {"examples": 1},
        400,
        f"JSON Value: {shown({'examples': 1})} Expecting 'examples' value to be an "
        "list/array",
    ),
    (
        "/v1/models/embedder:regress",
        {"examples": []},
        400,
        f"JSON Value: {shown({'examples': []})} 'examples' value is an empty array",
    ),
    (
        "/v1/models/embedder:classify",
        {"examples": [{"x": 1}]},
        400,
        "Expected classification signature method_name to be "
        "tensorflow/serving/classify. Was: tensorflow/serving/predict",
    ),
    (
        "/v1/models/embedder:regress",
        {"examples": [{"x": 1}]},
        400,
        "Expected regression signature method_name to be tensorflow/serving/regress. "
        "Was: tensorflow/serving/predict",
    ),
    (
        "/v1/models/embedder:regress",
        {"signature_name": "x", "examples": [{"x": 1}]},
        400,
        "No signature was found with the name: x",
    ),
    (
        "/v1/models/foo:classify",
        {"examples": [{"x": 1}]},
        404,
        "Servable not found for request: Latest(foo)",
    ),
]


@pytest.mark.parametrize(("method", "url", "status", "error"), URLS)
def test_urls_are_refused_as_tensorflow_serving_does(
    client: Client, method: str, url: str, status: int, error: str | None
) -> None:
    answer = client.request(method, url)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    if error is not None:
        assert answer.json() == {"error": error}


@pytest.mark.parametrize(("url", "body", "status", "error"), BODIES)
def test_bodies_are_refused_as_tensorflow_serving_does(
    client: Client, url: str, body: Any, status: int, error: str
) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body)
    answer = client.post(url, content=content)
    assert answer.json() == {"error": error}
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"


def test_what_the_model_refuses_is_told_without_its_graph(client: Client) -> None:
    answer = client.predict({"instances": ["no image"]})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("Unknown image file format.")
    assert "\n" not in answer.json()["error"]


def test_shapes_are_checked_against_the_signature(client: Client) -> None:
    answer = client.predict({"signature_name": "serve_tensor", "instances": [[1.0]]})
    assert answer.status_code == 400
    assert answer.json() == {
        "error": 'Input tensor "images" has shape [1,1], expected [-1,8,8,3].'
    }


def test_errors_quote_no_more_than_the_beginning_of_a_value(client: Client) -> None:
    answer = client.predict({"instances": {"b64": "x" * 100_000}})
    assert answer.status_code == 400
    assert len(answer.text) < 2000
