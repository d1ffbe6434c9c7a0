"""Which model, version and label a URL names."""

from tests.serving.tensorflow_serving.cases import (
    CORE,
    ECHO,
    EVHTTP,
    HANDLER,
    HANDLER_TEST,
    MODEL,
    STATUS,
    URL,
    Case,
    get,
    malformed,
    post,
)

OK = {"error_code": "OK", "error_message": ""}
VERSIONS = [
    {"version": "2", "state": "AVAILABLE", "status": OK},
    {"version": "1", "state": "AVAILABLE", "status": OK},
]

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
