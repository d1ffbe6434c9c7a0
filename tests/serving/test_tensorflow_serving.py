"""What TensorFlow Serving 2.21 answers, case by case: the table, and our answers.

Each case has the file of TensorFlow Serving, of RapidJSON 1.1, or of Abseil, that says
so. At the end stands what differs, as serving/README.md lists it.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from tests.serving.conftest import Client, Served

ROOT = Path(__file__).parents[2]
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


OK = {"error_code": "OK", "error_message": ""}
VERSIONS = [
    {"version": "2", "state": "AVAILABLE", "status": OK},
    {"version": "1", "state": "AVAILABLE", "status": OK},
]
MIXED = '{"count": [1, 2], "flag": true, "word": "a"}'
MIXED_ANSWER = {"count": [2, 4], "flag": False, "word": "A"}

URLS = [
    malformed(HANDLER_TEST, "GET", "/v1/foo"),
    malformed(HANDLER_TEST, "POST", "/v1/foo"),
    malformed(HANDLER_TEST, "POST", "/v1/models"),
    malformed(HANDLER_TEST, "GET", "/v1/models/foo:predict"),
    malformed(HANDLER_TEST, "GET", "/v1/models/debug/model_name"),
    malformed(HANDLER_TEST, "GET", "/v1/models/foo/version/50:predict"),
    malformed(HANDLER_TEST, "POST", "/v1/models/foo/version/50:regress"),
    malformed(HANDLER_TEST, "POST", "/v1/models/foo/versions/HELLO:regress"),
    malformed(HANDLER_TEST, "POST", "/v1/models/foo/metadata"),
    malformed(HANDLER_TEST, "POST", "/v1/models/foo/label/some_label:regress"),
    malformed(
        HANDLER_TEST, "POST", "/v1/models/foo/versions/50/labels/some_label:regress"
    ),
    malformed(HANDLER_TEST, "POST", "/v1/models/foo/versions/some_label:regress"),
    malformed(URL, "POST", f"{MODEL}:PREDICT"),
    malformed(URL, "POST", f"{MODEL}:explain"),
    malformed(URL, "POST", f"{MODEL}/versions/-1:predict"),
    malformed(URL, "GET", f"{MODEL}/versions/1.5"),
    malformed(URL, "GET", f"{MODEL}/"),
    malformed(URL, "GET", f"{MODEL}/metadata/"),
    malformed(HANDLER, "PUT", MODEL),
    malformed(HANDLER, "DELETE", MODEL),
    malformed(HANDLER, "PATCH", MODEL),
    Case(HANDLER, "HEAD", MODEL, "", 400, None),
    get(HANDLER_TEST, "/v1/models", 400, "Missing model name in request."),
    get(
        HANDLER,
        "/v1/models/metadata",
        404,
        "Could not find any versions of model metadata",
    ),
    get(URL, "/v1/models/versions/1", 400, "Missing model name in request."),
    post(
        HANDLER_TEST,
        "",
        400,
        "Failed to convert version: 18446744073709551615 to numeric.",
        "/v1/models/foo/versions/18446744073709551615:regress",
    ),
    get(
        URL,
        f"{MODEL}/versions/{'9' * 5000}",
        400,
        f"Failed to convert version: {'9' * 5000} to numeric.",
    ),
    get(
        URL,
        f"{MODEL}/versions/9223372036854775808",
        400,
        "Failed to convert version: 9223372036854775808 to numeric.",
    ),
    get(
        URL,
        f"{MODEL}/versions/9223372036854775807",
        404,
        "Could not find version 9223372036854775807 of model embedder",
    ),
    get(
        URL,
        f"{MODEL}/versions/{'0' * 30}1",
        200,
        {"model_version_status": [VERSIONS[1]]},
    ),
    get(URL, "/v1/models/%zz", 400, None),
    get(EVHTTP, f"{MODEL}%", 400, None),
    get(EVHTTP, f"{MODEL}/labels/%4", 400, None),
    get(EVHTTP, "/v1/models/a|b", 400, None),
    get(
        URL,
        "/v1/models/%65mbedder/versions/1",
        200,
        {"model_version_status": [VERSIONS[1]]},
    ),
    get(URL, "/v1/models/a%20b", 404, "Could not find any versions of model a b"),
    get(URL, "/v1/models/a%2Fb", 404, "Could not find any versions of model a/b"),
    get(
        EVHTTP,
        f"{MODEL}?x=1",
        404,
        "Could not find any versions of model embedder?x=1",
    ),
    get(HANDLER_TEST, MODEL, 200, {"model_version_status": VERSIONS}),
    get(
        HANDLER_TEST,
        f"{MODEL}/versions/1",
        200,
        {"model_version_status": [VERSIONS[1]]},
    ),
    get(STATUS, f"{MODEL}/labels/stable", 200, {"model_version_status": VERSIONS}),
    get(STATUS, f"{MODEL}/labels/nope", 200, {"model_version_status": VERSIONS}),
    get(URL, "/V1/MODELS/embedder", 200, {"model_version_status": VERSIONS}),
    get(URL, f"{MODEL}/METADATA", 200, {"model_version_status": VERSIONS}),
    get(STATUS, "/v1/models/foo", 404, "Could not find any versions of model foo"),
    get(
        STATUS, f"{MODEL}/versions/7", 404, "Could not find version 7 of model embedder"
    ),
    get(
        CORE,
        "/v1/models/foo/metadata",
        404,
        "Servable not found for request: Latest(foo)",
    ),
    get(
        CORE,
        f"{MODEL}/versions/7/metadata",
        404,
        "Servable not found for request: Specific(embedder, 7)",
    ),
    get(
        CORE,
        f"{MODEL}/labels/nope/metadata",
        400,
        "Unrecognized servable version label: nope",
    ),
    post(
        HANDLER_TEST,
        '{"instances": [1]}',
        404,
        "Servable not found for request: Latest(foo)",
        "/v1/models/foo:predict",
    ),
    post(
        HANDLER_TEST,
        '{"instances": [1]}',
        404,
        "Servable not found for request: Specific(foo, 50)",
        "/v1/models/foo/versions/50:predict",
    ),
    post(
        HANDLER_TEST,
        '{"instances": [1]}',
        404,
        "Servable not found for request: Latest(embedder99)",
        f"{MODEL}99:predict",
    ),
    post(
        CORE,
        '{"instances": [1]}',
        404,
        "Servable not found for request: Specific(embedder, 7)",
        f"{MODEL}/versions/7:predict",
    ),
    post(
        HANDLER_TEST,
        '{"instances": ["x", "y"]}',
        400,
        "Unrecognized servable version label: nope",
        f"{MODEL}/labels/nope:predict",
    ),
    post(
        CORE,
        '{"instances": [1]}',
        404,
        "Servable not found for request: Specific(embedder, 9)",
        f"{MODEL}/labels/lost:predict",
    ),
]

ECHO = '{"signature_name": "echo", "instances": [3]}'
ASKED = [
    post(
        HANDLER_TEST,
        ECHO,
        200,
        {"predictions": [{"version": version, "y": 3.0}]},
        f"{MODEL}{path}:predict",
    )
    for path, version in [
        ("", 2.0),
        ("/versions/1", 1.0),
        ("/versions/2", 2.0),
        (f"/versions/{'0' * 30}1", 1.0),
        ("/labels/stable", 1.0),
        ("/labels/canary", 2.0),
        ("/labels/%63anary", 2.0),
    ]
]

TEXTS = [
    unread("", "The document is empty", HANDLER_TEST),
    unread("  ", "The document is empty. at offset: 2"),
    unread("instances = [1, 2]", "Invalid value. at offset: 0", HANDLER_TEST),
    unread("{", "Missing a name for object member. at offset: 1"),
    unread("{'a':1}", "Missing a name for object member. at offset: 1"),
    unread('{"a":1,}', "Missing a name for object member. at offset: 7"),
    unread('{"a" 1}', "Missing a colon after a name of object member. at offset: 5"),
    unread('{"a":}', "Invalid value. at offset: 5"),
    unread('{"a":tru}', "Invalid value. at offset: 8"),
    unread('{"a":-}', "Invalid value. at offset: 6"),
    unread('{"a":Infinit}', "Invalid value. at offset: 12"),
    unread('{"a":+1}', "Invalid value. at offset: 5"),
    unread('{"a":.5}', "Invalid value. at offset: 5"),
    unread("// a\n{}", "Invalid value. at offset: 0"),
    unread("[1,]", "Invalid value. at offset: 3"),
    unread("[" * 300, "Invalid value. at offset: 300"),
    unread("[1 2]", "Missing a comma or ] after an array element. at offset: 3"),
    unread(
        '{"a":["]" 2]}', "Missing a comma or ] after an array element. at offset: 10"
    ),
    unread('{"a":[1,2}', "Missing a comma or ] after an array element. at offset: 9"),
    unread(
        '{"a":{"b":1]', "Missing a comma or } after an object member. at offset: 11"
    ),
    unread('{"a":[] 1}', "Missing a comma or } after an object member. at offset: 8"),
    unread('{"a":01}', "Missing a comma or } after an object member. at offset: 6"),
    unread('{"é":1 2}', "Missing a comma or } after an object member. at offset: 8"),
    unread(
        b'\xef\xbb\xbf{"a":1 2}',
        "Missing a comma or } after an object member. at offset: 10",
        "rapidjson/encodedstream.h",
    ),
    unread('{"a":"x', "Missing a closing quotation mark in string. at offset: 7"),
    unread('{"a":"\\x"}', "Invalid escape character in string. at offset: 6"),
    unread(
        '{"a":"\\u12g4"}',
        "Incorrect hex digit after \\u escape in string. at offset: 6",
    ),
    unread('{"a":"\\ud800"}', "The surrogate pair in string is invalid. at offset: 6"),
    unread('{"a":"\x01"}', "Invalid encoding in string. at offset: 6"),
    unread('{"a":1.}', "Miss fraction part in number. at offset: 7"),
    unread('{"a":1e}', "Miss exponent in number. at offset: 7"),
    unread('{"a":1e+}', "Miss exponent in number. at offset: 8"),
    unread('{"a":1e400}', "Number too big to be stored in double. at offset: 5"),
    unread(
        f'{{"a":{"9" * 5000}}}',
        "Number too big to be stored in double. at offset: 5",
    ),
]

DOCUMENTS = [
    post(JSON, "[1]", 400, "JSON Value: [1] Is not object"),
    post(JSON, "NaN", 400, "JSON Value: NaN Is not object"),
    post(JSON, '"x"', 400, 'JSON Value: "x" Is not object'),
    post(JSON, "null", 400, "JSON Value: null Is not object"),
    post(
        HANDLER_TEST,
        '{ "signature_name": 100 }',
        400,
        'JSON Value: {"signature_name":100} not formatted correctly. '
        "'signature_name' key must be a string value.",
    ),
    post(
        JSON_TEST,
        '{"signature_name": 5, "instances": [[1,2],[3,4],[5,6,7]]}',
        400,
        'JSON Value: {"signature_name":5,"instances":[[1,2],[3,4],[5,6,7]]} not '
        "formatted correctly. 'signature_name' key must be a string value.",
    ),
    post(
        JSON,
        f'{{"signature_name": null, "x": "{"y" * 1000}"}}',
        400,
        f'JSON Value: {{"signature_name":null,"x":"{"y" * 228} not formatted '
        "correctly. 'signature_name' key must be a string value.",
    ),
    post(
        HANDLER,
        '{"signature_name": "x", "instances": [1]}',
        400,
        'Serving signature name: "x" not found in signature def',
    ),
    post(
        JSON,
        '{"signature_name": "__saved_model_init_op", "instances": [1]}',
        400,
        "Failed to get input map for signature: __saved_model_init_op",
    ),
    post(JSON, "{}", 400, "Missing 'inputs' or 'instances' key"),
    post(JSON, '{"Instances": [1]}', 400, "Missing 'inputs' or 'instances' key"),
    post(
        JSON,
        '{"instances": 1}',
        400,
        "JSON Value: {\"instances\":1} Expecting 'instances' to be an list/array",
    ),
    post(
        JSON,
        '{"instances": {"b64": "eA=="}}',
        400,
        'JSON Value: {"instances":{"b64":"eA=="}} Expecting \'instances\' to be an '
        "list/array",
    ),
    post(
        JSON,
        '{"instances": null}',
        400,
        "JSON Value: {\"instances\":null} Expecting 'instances' to be an list/array",
    ),
    post(
        JSON,
        '{"instances": []}',
        400,
        "JSON Value: {\"instances\":[]} No values in 'instances' array",
    ),
    post(
        JSON_TEST,
        '{"instances": [[1,2],[3,4],[5,6,7]], "inputs": [[1,2],[3,4],[5,6,7]]}',
        400,
        'JSON Value: {"instances":[[1,2],[3,4],[5,6,7]],"inputs":[[1,2],[3,4],[5,6,7]]}'
        " Not formatted correctly expecting only one of 'inputs' or 'instances' keys "
        "to exist ",
    ),
    post(READER, f"{ECHO} and more", 200, ASKED[0].answer),
    post(READER, f"{ECHO}}}", 200, ASKED[0].answer),
    post(READER, f"{ECHO}{ECHO}", 200, ASKED[0].answer),
    post(READER, f"{ECHO}\0", 200, ASKED[0].answer),
    post(READER, ECHO.encode() + b"\xff", 200, ASKED[0].answer),
    post(
        "rapidjson/encodedstream.h",
        b"\xef\xbb\xbf" + ECHO.encode(),
        200,
        ASKED[0].answer,
    ),
    post(READER, f'{{"x": {DEEP}, {ECHO[1:]}', 200, ASKED[0].answer),
    post(JSON, f'{{"x": [{{"y": null}}], {ECHO[1:]}', 200, ASKED[0].answer),
    post(
        "rapidjson/document.h", f'{ECHO[:-1]}, "instances": [4]}}', 200, ASKED[0].answer
    ),
    post(
        "rapidjson/document.h",
        f'{ECHO[:-1]}, "signature_name": 7}}',
        200,
        ASKED[0].answer,
    ),
    post(
        "rapidjson/document.h",
        '{"signature_name": "float32", "inputs": {"x": [1], "x": [2]}}',
        200,
        {"outputs": [1.0]},
    ),
    post(JSON, '{"signature_name": "", "inputs": []}', 200, {"outputs": []}),
]

ROWS = [
    no_rows(
        JSON,
        "",
        '[{"foo": 1}]',
        item(0, "JSON object: does not have named input: foo", "foo"),
    ),
    no_rows(
        JSON,
        "",
        "[{}]",
        "Failed to process element: 0 of 'instances' list. JSON object: {} keys must "
        "be equal to: image_bytes",
    ),
    no_rows(
        JSON,
        "mixed",
        f'[{MIXED}, {{"word": "b", "count": [1, 2]}}]',
        "Failed to process element: 1 of 'instances' list. JSON object: "
        '{"word":"b","count":[1,2]} keys must be equal to: count,flag,word',
    ),
    no_rows(
        JSON,
        "mixed",
        f'[{MIXED}, {{"word": 1}}]',
        item(1, wrong_type("1", "Number", "string"), "word"),
    ),
    no_rows(
        JSON,
        "mixed",
        f'[{MIXED}, {{"flag": true, "extra": 1}}]',
        item(1, "JSON object: does not have named input: extra", "extra"),
    ),
    no_rows(
        JSON,
        "",
        '[{"image_bytes": 1}]',
        item(0, wrong_type("1", "Number", "string"), "image_bytes"),
    ),
    no_rows(JSON, "", '["x", null]', item(1, wrong_type("null", "Null", "string"))),
    no_rows(
        JSON_TEST,
        "",
        '[{"image_bytes": "x"}, [1, 20, 30]]',
        "Expecting object but got list at item 1 of input list",
    ),
    no_rows(
        JSON,
        "",
        '[{"image_bytes": "x"}, {"b64": "eA=="}]',
        "Expecting object but got list at item 1 of input list",
    ),
    no_rows(
        JSON_TEST,
        "",
        '["baz", {"image_bytes": "x"}]',
        "Expecting value/list but got object at item 1 of input list",
    ),
    no_rows(
        JSON,
        "",
        '[{"b64": "eA=="}, {"b64": "eA==", "x": 1}]',
        "Expecting value/list but got object at item 1 of input list",
    ),
    no_rows(
        JSON_TEST,
        "alike",
        "[[1,2],[3,4],[5,6,7]]",
        item(2, "Expecting tensor size: 2 but got: 3"),
    ),
    no_rows(
        JSON_TEST,
        "alike",
        "[[1,2],[3,4],[[5,6]]]",
        item(2, "Expecting shape [2] but got: [1,2]"),
    ),
    no_rows(
        JSON_TEST, "float32", "[1, [1]]", item(1, "Expecting shape [] but got: [1]")
    ),
    no_rows(
        JSON_TEST,
        "alike",
        '[[1,2],["a", "b"]]',
        item(1, wrong_type('"a"', "String", "float")),
    ),
    no_rows(
        JSON_TEST,
        "mixed",
        f'[{MIXED}, {{"count": [1, 2, 3], "flag": true, "word": "a"}}]',
        item(1, "Expecting tensor size: 2 but got: 3", "count"),
    ),
    no_rows(
        JSON_TEST,
        "mixed",
        f'[{MIXED}, {{"count": [[1, 2]], "flag": true, "word": "a"}}]',
        item(1, "Expecting shape [2] but got: [1,2]", "count"),
    ),
    no_rows(
        JSON,
        "mixed",
        '["x"]',
        "instances is a plain list, but expecting list of objects as multiple input "
        "tensors required as per tensorinfo_map",
    ),
    no_rows(
        JSON,
        "alike",
        "[[1, [2]]]",
        item(0, "Encountered list at unexpected level: 1 expected < 1"),
    ),
    no_rows(
        JSON,
        "alike",
        "[[[1], 2]]",
        item(
            0,
            "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at "
            "level: 2",
        ),
    ),
    rows(JSON, "mixed", f"[{MIXED}]", [MIXED_ANSWER | {"word_bytes": {"b64": "YQ=="}}]),
    rows(JSON, "float32", '[{"x": 1}, {"x": 2}]', [1.0, 2.0]),
    rows(
        JSON_TEST, "alike", "[[1,2],[3,4],[5,6]]", [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
    ),
    rows(
        JSON_TEST,
        "float32",
        "[1, 2.0, 3, 4, 5.003, 0.007, 0.0]",
        [1.0, 2.0, 3.0, 4.0, 5.003, 0.007, 0.0],
    ),
    rows(
        JSON_TEST,
        "float64",
        "[1.0, 2, 3, 4, 0.662, 0, 0.0]",
        [1.0, 2.0, 3.0, 4.0, 0.662, 0.0, 0.0],
    ),
    rows(
        JSON_TEST,
        "string",
        '[{"b64": "aGVsbG8="}, {"b64": "d29ybGQ="}]',
        ["hello", "world"],
    ),
]

COLUMNS = [
    no_columns(
        JSON,
        "",
        '{"foo": ["x"]}',
        "Missing named input: image_bytes in 'inputs' object.",
    ),
    no_columns(
        JSON,
        "mixed",
        '{"count": [[1, 2]], "word": ["a"]}',
        "Missing named input: flag in 'inputs' object.",
    ),
    no_columns(
        JSON,
        "mixed",
        '["x"]',
        "inputs is a plain value/list, but expecting an object as multiple input "
        "tensors required as per tensorinfo_map",
    ),
    no_columns(
        JSON,
        "mixed",
        '{"b64": "eA=="}',
        "inputs is a plain value/list, but expecting an object as multiple input "
        "tensors required as per tensorinfo_map",
    ),
    no_columns(
        JSON,
        "",
        "[[1], 2]",
        "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at "
        "level: 2",
    ),
    no_columns(
        JSON, "", "[1, [2]]", "Encountered list at unexpected level: 1 expected < 1"
    ),
    no_columns(
        JSON,
        "",
        "[[1], [2, 3]]",
        "Encountered list at unexpected size: 2 at level: 1 expected size: 1",
    ),
    no_columns(JSON, "float32", '["x"]', wrong_type('"x"', "String", "float")),
    no_columns(
        JSON,
        "complex64",
        "[1]",
        "Conversion of JSON Value: 1 to type: complex64",
        501,
    ),
    no_rows(
        JSON,
        "complex64",
        "[1]",
        "Failed to process element: 0 of 'instances' list. Error: UNIMPLEMENTED: "
        "Conversion of JSON Value: 1 to type: complex64",
    ),
    columns(JSON, "float32", "[3.0, 4.0]", [3.0, 4.0]),
    columns(JSON, "float32", '{"x": [3.0, 4.0], "unused": true}', [3.0, 4.0]),
    columns(
        JSON,
        "mixed",
        '{"count": [[1, 2]], "flag": [true], "word": ["a"]}',
        {
            "count": [[2, 4]],
            "flag": [False],
            "word": ["A"],
            "word_bytes": [{"b64": "YQ=="}],
        },
    ),
    columns(JSON, "total", "[1.5, 2]", 3.5),
    columns(JSON, "total", "[]", 0.0),
    columns(JSON, "joined", '["a", "é"]', "aé"),
    columns(JSON, "joined", "[]", ""),
    columns(JSON, "emptied", "[1]", []),
]

FLOATS = [
    rows(JSON, "float32", "[16777216]", [16777216.0]),
    rows(JSON, "float32", "[16777217]", [16777216.0]),
    # The shortest digits that give the float32 1435774336 again.
    rows(JSON, "float32", "[1435774380]", [1435774300.0]),
    rows(JSON, "float32", "[3.4028235e38]", [3.4028235e38]),
    rows(JSON, "float32", "[1e39, -1e39]", [float("inf"), float("-inf")]),
    rows(JSON, "float32", "[1.79769e+308]", [float("inf")]),
    rows(JSON, "float32", "[1e-46, -0.0]", [0.0, -0.0]),
    rows(READER, "float32", "[18446744073709551616]", [1.8446744e19]),
    rows(
        READER,
        "float32",
        "[NaN, Infinity, -Infinity]",
        [float("nan"), float("inf"), float("-inf")],
    ),
    rows(
        READER,
        "float32",
        "[Inf, -Inf, -NaN]",
        [float("inf"), float("-inf"), float("nan")],
    ),
    rows(JSON, "float64", "[9007199254740993]", [9007199254740992.0]),
    rows(JSON, "float64", "[1.79769e+308, 1e-320]", [1.79769e308, 1e-320]),
    rows(
        READER, "float64", "[123456789012345678901234567890]", [1.2345678901234566e29]
    ),
    rows(
        JSON_TEST,
        "float32",
        "[9000000, 999999, 0.5, 0.0003, 0.00003, 555557.5]",
        [9e6, 999999.0, 0.5, 0.0003, 3e-05, 555557.5],
    ),
    no_rows(JSON, "float32", "[true]", item(0, wrong_type("true", "True", "float"))),
    no_rows(JSON, "float32", "[false]", item(0, wrong_type("false", "False", "float"))),
    no_rows(
        JSON, "float32", '["NaN"]', item(0, wrong_type('"NaN"', "String", "float"))
    ),
    no_rows(JSON, "float32", "[null]", item(0, wrong_type("null", "Null", "float"))),
    no_rows(
        JSON,
        "float32",
        '[{"b64": "AA=="}]',
        item(0, wrong_type('{"b64":"AA=="}', "Object", "float")),
    ),
    no_rows(JSON, "float64", '["1"]', item(0, wrong_type('"1"', "String", "double"))),
]

WHOLE = [
    rows(JSON, "int8", "[-128, 127]", [-128, 127]),
    rows(JSON, "int16", "[-32768, 32767]", [-32768, 32767]),
    rows(JSON, "uint8", "[0, 255]", [0, 255]),
    rows(JSON, "int32", "[-2147483648, 2147483647]", [-2147483648, 2147483647]),
    rows(
        JSON,
        "int64",
        "[-9223372036854775808, 9223372036854775807]",
        [-9223372036854775808, 9223372036854775807],
    ),
    rows(JSON, "uint32", "[0, 4294967295]", [0, 4294967295]),
    rows(JSON, "uint64", "[0, 18446744073709551615]", [0, 18446744073709551615]),
    rows(JSON, "int32", "[-0]", [0]),
    *(
        no_rows(JSON, kind, f"[{value}]", item(0, wrong_type(value, "Number", kind)))
        for kind, value in [
            ("int32", "2147483648"),
            ("int32", "-2147483649"),
            ("int64", "9223372036854775808"),
            ("uint32", "4294967296"),
            ("uint32", "-1"),
            ("uint64", "-1"),
            ("int32", "1.0"),
            ("int64", "1.5"),
            ("int8", "2147483648"),
            ("uint8", "0.5"),
        ]
    ),
    no_rows(JSON, "int32", "[1e3]", item(0, wrong_type("1000.0", "Number", "int32"))),
    no_rows(JSON, "int32", "[NaN]", item(0, wrong_type("NaN", "Number", "int32"))),
    no_rows(JSON, "int32", "[true]", item(0, wrong_type("true", "True", "int32"))),
    no_rows(JSON, "int32", '["7"]', item(0, wrong_type('"7"', "String", "int32"))),
    rows(JSON, "bool", "[true, false]", [True, False]),
    no_rows(JSON, "bool", "[1]", item(0, wrong_type("1", "Number", "bool"))),
    no_rows(JSON, "bool", '["true"]', item(0, wrong_type('"true"', "String", "bool"))),
    no_rows(JSON, "bool", "[null]", item(0, wrong_type("null", "Null", "bool"))),
]

STRINGS = [
    rows(
        JSON, "string", '["é", "\\u00e9", "\\ud83d\\ude00", ""]', ["é", "é", "😀", ""]
    ),
    rows(JSON, "string", '["a", {"b64": "Yg=="}]', ["a", "b"]),
    rows("absl/strings/escaping.cc", "string", '[{"b64": "YQ"}]', ["a"]),
    rows("absl/strings/escaping.cc", "string", '[{"b64": "YQ.."}]', ["a"]),
    rows("absl/strings/escaping.cc", "string", '[{"b64": " Y\\nQ = =\\t"}]', ["a"]),
    rows("absl/strings/escaping.cc", "string", '[{"b64": ""}]', [""]),
    rows(READER, "string", '["a\\u0000b"]', ["a\0b"]),
    *(
        no_rows(
            "absl/strings/escaping.cc",
            "string",
            f'[{{"b64": "{text}"}}]',
            item(0, "Unable to base64 decode"),
        )
        for text in ("!", "A", "AAAAA", "AA=", "A=AA", "AA-_", "AAé=")
    ),
    no_rows(JSON, "string", "[1.5]", item(0, wrong_type("1.5", "Number", "string"))),
    no_rows(JSON, "string", "[true]", item(0, wrong_type("true", "True", "string"))),
    no_columns(
        JSON,
        "string",
        '[{"b64": 1}]',
        'JSON Value: {"b64":1} not formatted correctly for base64 data',
    ),
    no_columns(
        JSON,
        "string",
        '[{"b64": "YQ==", "x": 1}]',
        'JSON Value: {"b64":"YQ==","x":1} not formatted correctly for base64 data',
    ),
    no_columns(
        JSON,
        "string",
        "[{}]",
        "JSON Value: {} not formatted correctly for base64 data",
    ),
]

ANSWERS = [
    rows(JSON_TEST, "emptied", "[1, 2]", []),
    no_rows(
        JSON_TEST, "total", "[1.0]", "Tensor name: total has no shape information "
    ),
    no_rows(
        JSON_TEST,
        "uneven",
        "[1, 2]",
        "Tensor name: x has inconsistent batch size: 2 expecting: 1",
    ),
    no_rows(
        JSON_TEST,
        "to_complex",
        "[1]",
        "Failed to write JSON value for tensor type: complex64",
    ),
    columns(
        JSON_TEST,
        "uneven",
        "[1, 2]",
        {"one": [1.0], "x": [1.0, 2.0]},
    ),
]


def example(action: str, body: str, error: str, status: int = 400) -> Case:
    source = {"classify": CLASSIFIER, "regress": REGRESSOR}[action]
    return post(source, body, status, error, f"{MODEL}:{action}")


EXAMPLES = [
    example("classify", "", "JSON Parse error: The document is empty"),
    example("regress", "[]", "JSON Value: [] Is not object"),
    example(
        "classify",
        '{"signature_name": ["hello"], "examples": [{}]}',
        'JSON Value: {"signature_name":["hello"],"examples":[{}]} not formatted '
        "correctly. 'signature_name' key must be a string value.",
    ),
    example(
        "classify",
        '{"instances": [1]}',
        "JSON Value: {\"instances\":[1]} When method is classify, key 'examples' is "
        "expected and was not found",
    ),
    example(
        "regress",
        "{}",
        "JSON Value: {} When method is classify, key 'examples' is expected and was "
        "not found",
    ),
    example(
        "classify",
        '{"examples": {"names": ["foo"]}}',
        'JSON Value: {"examples":{"names":["foo"]}} Expecting \'examples\' value to be '
        "an list/array",
    ),
    example(
        "regress",
        '{"examples": []}',
        "JSON Value: {\"examples\":[]} 'examples' value is an empty array",
    ),
    example(
        "regress",
        '{"signature_name": "x", "examples": [{"x": 1}]}',
        "No signature was found with the name: x",
    ),
    example(
        "classify",
        '{"signature_name": "mixed", "examples": [{"x": 1}]}',
        "Expected one input Tensor.",
    ),
    example(
        "classify",
        '{"signature_name": "__saved_model_init_op", "examples": [{"x": 1}]}',
        "Expected one input Tensor.",
    ),
    example(
        "regress",
        '{"signature_name": "echo", "examples": [{"x": 1}]}',
        "Expected one output Tensor.",
    ),
    post(
        CORE,
        '{"examples": [{"x": 1}]}',
        404,
        "Servable not found for request: Latest(foo)",
        "/v1/models/foo:classify",
    ),
]

CASES = [
    *URLS,
    *ASKED,
    *TEXTS,
    *DOCUMENTS,
    *ROWS,
    *COLUMNS,
    *FLOATS,
    *WHOLE,
    *STRINGS,
    *ANSWERS,
    *EXAMPLES,
]


def test_the_table_is_as_long_as_the_readme_says() -> None:
    cases = [*CASES, *CALLS]
    assert len(cases) == len(set(map(str, cases)))
    readme = (ROOT / "serving" / "README.md").read_text(encoding="utf-8")
    assert f"{len(cases)} requests and their answers" in " ".join(readme.split())


@pytest.mark.parametrize(
    "case", CASES, ids=lambda case: f"{case.method} {case.url[:60]}"
)
def test_answers_are_tensorflow_servings(client: Client, case: Case) -> None:
    answer = client.request(case.method, case.url, content=case.body)
    assert answer.status_code == case.status, answer.text
    assert answer.headers["content-type"] == "application/json"
    if case.answer is None:
        return
    expected = {"error": case.answer} if isinstance(case.answer, str) else case.answer
    # By way of text, so that NaN is NaN and 1 is not 1.0.
    read = json.loads(answer.text)
    assert json.dumps(read, sort_keys=True) == json.dumps(expected, sort_keys=True)


class Call(NamedTuple):
    """A gRPC call that is refused.

    Attributes:
        source: Where TensorFlow Serving says so.
        method: What is called.
        request: The message.
        code: Of gRPC.
        details: What the client is told; all of it, or its beginning before an `…`.
    """

    source: str
    method: str
    request: Any
    code: str
    details: str


def named(message: Any, name: str, signature: str = "") -> Any:
    message.model_spec.name = name
    message.model_spec.signature_name = signature
    return message


def predict(signature: str = "", name: str = "embedder", **inputs: Any) -> Any:
    message = named(predict_pb2.PredictRequest(), name, signature)
    for key, value in inputs.items():
        message.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    return message


def filtered(*outputs: str) -> Any:
    message = predict("echo", x=np.float32([1]))
    message.output_filter.extend(outputs)
    return message


def damaged(signature: str = "echo") -> Any:
    message = predict(signature, x=np.float32([1]))
    message.inputs["x"].tensor_shape.dim[0].size = -3
    return message


def of_version(message: Any, version: int) -> Any:
    message.model_spec.version.value = version
    return message


def of_label(message: Any, label: str) -> Any:
    message.model_spec.version_label = label
    return message


def metadata(*fields: str, name: str | None = "embedder") -> Any:
    message = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
    return message if name is None else named(message, name)


def tasks(*each: tuple[str, str, str]) -> Any:
    message = inference_pb2.MultiInferenceRequest()
    for name, signature, method in each:
        task = named(message.tasks.add(), name, signature)
        task.method_name = method
    return message


CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"
ClassifyRequest = classification_pb2.ClassificationRequest
RegressRequest = regression_pb2.RegressionRequest
StatusRequest = get_model_status_pb2.GetModelStatusRequest
BAD, NOT_FOUND = "INVALID_ARGUMENT", "NOT_FOUND"
NO_SPEC, NO_NAME = "Missing ModelSpec", "ModelSpec has no name specified."
NO_MODEL = "Servable not found for request: Latest(foo)"

CALLS = [
    Call(PREDICT_IMPL, "Predict", predict_pb2.PredictRequest(), BAD, NO_SPEC),
    Call(CLASSIFICATION, "Classify", ClassifyRequest(), BAD, NO_SPEC),
    Call(REGRESSION, "Regress", RegressRequest(), BAD, NO_SPEC),
    Call(
        METADATA, "GetModelMetadata", metadata("signature_def", name=None), BAD, NO_SPEC
    ),
    Call(METADATA, "GetModelMetadata", metadata(name=None), BAD, NO_SPEC),
    Call(STATUS, "GetModelStatus", StatusRequest(), BAD, NO_SPEC),
    Call(CORE, "Predict", predict("x", name=""), BAD, NO_NAME),
    Call(CORE, "Classify", named(ClassifyRequest(), "", "x"), BAD, NO_NAME),
    Call(CORE, "Regress", named(RegressRequest(), "", "x"), BAD, NO_NAME),
    Call(CORE, "GetModelMetadata", metadata("signature_def", name=""), BAD, NO_NAME),
    Call(CORE, "MultiInference", tasks(), BAD, NO_NAME),
    Call(CORE, "MultiInference", tasks(("", "", CLASSIFY)), BAD, NO_NAME),
    Call(
        STATUS,
        "GetModelStatus",
        named(StatusRequest(), ""),
        NOT_FOUND,
        "Could not find any versions of model ",
    ),
    Call(
        STATUS,
        "GetModelStatus",
        named(StatusRequest(), "foo"),
        NOT_FOUND,
        "Could not find any versions of model foo",
    ),
    Call(
        STATUS,
        "GetModelStatus",
        of_version(named(StatusRequest(), "embedder"), 7),
        NOT_FOUND,
        "Could not find version 7 of model embedder",
    ),
    Call(CORE, "Predict", predict(name="foo", x=[1.0]), NOT_FOUND, NO_MODEL),
    Call(CORE, "Classify", named(ClassifyRequest(), "foo"), NOT_FOUND, NO_MODEL),
    Call(CORE, "Regress", named(RegressRequest(), "foo"), NOT_FOUND, NO_MODEL),
    Call(
        CORE,
        "GetModelMetadata",
        metadata("signature_def", name="foo"),
        NOT_FOUND,
        NO_MODEL,
    ),
    Call(CORE, "MultiInference", tasks(("foo", "", CLASSIFY)), NOT_FOUND, NO_MODEL),
    Call(
        CORE,
        "Predict",
        of_version(predict(x=[1.0]), 7),
        NOT_FOUND,
        "Servable not found for request: Specific(embedder, 7)",
    ),
    Call(
        CORE,
        "Predict",
        of_version(predict(x=[1.0]), -1),
        NOT_FOUND,
        "Servable not found for request: Specific(embedder, -1)",
    ),
    Call(
        CORE,
        "Predict",
        of_label(predict(x=[1.0]), "nope"),
        BAD,
        "Unrecognized servable version label: nope",
    ),
    Call(
        CORE,
        "Predict",
        of_label(predict(x=[1.0]), ""),
        BAD,
        "Unrecognized servable version label: ",
    ),
    Call(
        PREDICT_UTIL,
        "Predict",
        predict("nope", x=[1.0]),
        "FAILED_PRECONDITION",
        'Serving signature key "nope" not found.',
    ),
    Call(
        GRPC_STATUS,
        "Predict",
        predict("n" * 2000, x=[1.0]),
        "FAILED_PRECONDITION",
        f'Serving signature key "{"n" * 1001}...TRUNCATED',
    ),
    Call(
        PREDICT_UTIL,
        "Predict",
        predict(),
        BAD,
        "input size does not match signature: 0!=1 len({}) != len({image_bytes}). "
        "Sent extra: {}. Missing but required: {image_bytes}.",
    ),
    Call(
        PREDICT_UTIL,
        "Predict",
        predict(image_bytes=["x"], z=["x"]),
        BAD,
        "input size does not match signature: 2!=1 len({image_bytes,z}) != "
        "len({image_bytes}). Sent extra: {z}. Missing but required: {}.",
    ),
    Call(
        PREDICT_UTIL,
        "Predict",
        predict(z=["x"]),
        BAD,
        "input tensor alias not found in signature: z. Inputs expected to be in the "
        "set {image_bytes}.",
    ),
    Call(PREDICT_UTIL, "Predict", damaged(), BAD, "tensor parsing error: x"),
    Call(
        PREDICT_UTIL,
        "Predict",
        filtered("y", "y"),
        BAD,
        "duplicate output tensor alias: y",
    ),
    Call(
        PREDICT_UTIL,
        "Predict",
        filtered("z"),
        BAD,
        "output tensor alias not found in signature: z Outputs expected to be in the "
        "set {version,y}.",
    ),
    Call(
        METADATA,
        "GetModelMetadata",
        metadata(),
        BAD,
        "GetModelMetadataRequest must specify at least one metadata_field",
    ),
    Call(
        CLASSIFIER,
        "Classify",
        named(ClassifyRequest(), "embedder", "nope"),
        BAD,
        "No signature was found with the name: nope",
    ),
    Call(
        CLASSIFIER,
        "Classify",
        named(ClassifyRequest(), "embedder"),
        BAD,
        "No classification inputs found in SignatureDef: inputs {…",
    ),
    Call(
        CLASSIFIER,
        "Classify",
        named(ClassifyRequest(), "embedder", "mixed"),
        BAD,
        "Expected one input Tensor.",
    ),
    Call(
        CLASSIFIER,
        "Classify",
        named(ClassifyRequest(), "embedder", "examples"),
        BAD,
        "Expected classification signature outputs to contain at least one of "
        '"classes" or "scores". Signature was: inputs {…',
    ),
    Call(
        REGRESSOR,
        "Regress",
        named(RegressRequest(), "embedder", "nope"),
        BAD,
        "No signature was found with the name: nope",
    ),
    Call(
        REGRESSOR,
        "Regress",
        named(RegressRequest(), "embedder"),
        BAD,
        "No regression inputs found in SignatureDef: inputs {…",
    ),
    Call(
        REGRESSOR,
        "Regress",
        named(RegressRequest(), "embedder", "echo"),
        BAD,
        "Expected one output Tensor.",
    ),
    Call(
        REGRESSOR,
        "Regress",
        named(RegressRequest(), "embedder", "examples"),
        BAD,
        "No regression outputs found in SignatureDef: inputs {…",
    ),
    Call(
        INFERENCE,
        "MultiInference",
        tasks(("embedder", "nope", CLASSIFY)),
        BAD,
        "Requested signature not found in model graph: nope",
    ),
    Call(
        INFERENCE,
        "MultiInference",
        tasks(("embedder", "", "tensorflow/serving/predict")),
        "UNIMPLEMENTED",
        "Unsupported signature method_name: tensorflow/serving/predict",
    ),
    Call(
        INFERENCE,
        "MultiInference",
        tasks(("embedder", "mixed", REGRESS)),
        BAD,
        "Expected one input Tensor.",
    ),
    Call(
        INFERENCE,
        "MultiInference",
        tasks(("embedder", "", CLASSIFY), ("embedder", "", REGRESS)),
        BAD,
        "No classification inputs found in SignatureDef: inputs {…",
    ),
]


@pytest.fixture(scope="module")
def stubs(served: Served) -> Iterator[list[Any]]:
    server = served.listen()
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield [
            prediction_service_pb2_grpc.PredictionServiceStub(channel),
            model_service_pb2_grpc.ModelServiceStub(channel),
        ]
    server.stop(0)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.method)
def test_calls_are_refused_as_tensorflow_serving_does(
    stubs: list[Any], call: Call
) -> None:
    method = next(
        getattr(stub, call.method) for stub in stubs if hasattr(stub, call.method)
    )
    with pytest.raises(grpc.RpcError) as error:
        method(call.request, timeout=60)
    assert error.value.code() == grpc.StatusCode[call.code]
    details = error.value.details()
    beginning, rest, _ = call.details.partition("…")
    assert details.startswith(beginning) if rest else details == beginning


def test_an_unused_key_may_be_nested_500_000_deep(client: Client) -> None:
    body = f'{{"x": {"[" * 500_000 + "]" * 500_000}, {ECHO[1:]}'
    assert client.post(PREDICT, content=body).json() == ASKED[0].answer


README = "serving/README.md"
DIFFERENT = [
    no_rows(
        README,
        "alike",
        "[[[1.0]]]",
        'Input tensor "x" has shape [1,1,1], expected [-1,-1].',
    ),
    no_rows(README, "int8", "[128]", item(0, wrong_type("128", "Number", "int8"))),
    no_rows(
        README, "int16", "[-32769]", item(0, wrong_type("-32769", "Number", "int16"))
    ),
    no_rows(README, "uint8", "[-1]", item(0, wrong_type("-1", "Number", "uint8"))),
    rows(README, "float16", "[0.5, 1e9]", [0.5, float("inf")]),
    rows(README, "bfloat16", "[0.5]", [0.5]),
    no_columns(
        README,
        "float32",
        "[" * 65 + "1" + "]" * 65,
        "Lists are nested more than 64 deep, and no tensor here has as many axes.",
    ),
    no_columns(
        README,
        "float32",
        f"[{DEEP}]",
        "Lists are nested more than 64 deep, and no tensor here has as many axes.",
    ),
    rows(README, "float32", '[{"x": 1, "x": 2}]', [1.0]),
    no_rows(
        README,
        "mixed",
        '[{"b64": "eA=="}]',
        "instances is a plain list, but expecting list of objects as multiple input "
        "tensors required as per tensorinfo_map",
    ),
    unread(
        b'{"instances": ["\xff"]}', "Invalid encoding in string. at offset: 16", README
    ),
    unread(
        '{"instances": ["\\udc00"]}',
        "The surrogate pair in string is invalid. at offset: 16",
        README,
    ),
    post(
        README,
        '{"examples": [{"x": null}, 7], "context": 1}',
        404,
        "Servable not found for request: Latest(foo)",
        "/v1/models/foo:classify",
    ),
    get(README, "/v1/models/%zz", 400, "No URL looks like this: /v1/models/%zz"),
    get(README, "/v2", 404, "Not Found"),
]


@pytest.mark.parametrize("case", DIFFERENT, ids=lambda case: case.url[:60])
def test_what_differs_is_as_the_readme_says(client: Client, case: Case) -> None:
    test_answers_are_tensorflow_servings(client, case)


@pytest.mark.parametrize(
    ("encoding", "status", "words"),
    [("br", 415, "Send gzip"), ("deflate", 415, "Send gzip"), ("gzip", 400, "gzip")],
)
def test_bodies_are_what_their_header_says(
    client: Client, encoding: str, status: int, words: str
) -> None:
    headers = {"Content-Encoding": encoding}
    answer = client.post(PREDICT, content=ECHO, headers=headers)
    assert answer.status_code == status
    assert words in answer.json()["error"]


def test_calls_that_differ_are_as_the_readme_says(stubs: list[Any]) -> None:
    for method, message, code, details in (
        (
            stubs[0].Predict,
            predict(image_bytes=[1.0]),
            BAD,
            "Expects image_bytes to be string but float32 is provided",
        ),
        (
            stubs[0].GetModelMetadata,
            metadata("x"),
            BAD,
            "Metadata field x is not supported",
        ),
    ):
        with pytest.raises(grpc.RpcError) as error:
            method(message, timeout=60)
        assert error.value.code() == grpc.StatusCode[code]
        assert error.value.details() == details
