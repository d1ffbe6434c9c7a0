"""Every answer has a request's name, and its line in the log the same."""

import re
from collections.abc import Callable

import pytest

from dce_tf.serving.http.guards import Access
from dce_tf.serving.observing.http_requests import name_route
from tests.serving.conftest import Lines, Served

ECHO = {"signature_name": "echo", "instances": [1.0]}
PREDICT = "/v1/models/embedder:predict"


def test_name_of_a_request_is_taken_and_given_back(
    served: Served, logged: Callable[..., Lines]
) -> None:
    lines = logged("json")
    answer = served.client.post(PREDICT, json=ECHO, headers={"X-Request-ID": "a-1:b"})
    assert answer.headers["x-request-id"] == "a-1:b"
    (line,) = lines.requests()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line.pop("ms") > 0
    assert line == {
        "level": "INFO",
        "message": f"POST {PREDICT} 200",
        "request_id": "a-1:b",
        "protocol": "http",
        "client": "127.0.0.1:123",
        "method": "POST",
        "route": "/v1/models/{name}:predict",
        "path": PREDICT,
        "status": 200,
    }


@pytest.mark.parametrize(
    "given", [None, "", "a b", "a\tb", '"', "é".encode().decode("latin-1"), "x" * 129]
)
def test_name_of_a_request_is_made_if_none_fits(
    given: str | None, served: Served
) -> None:
    headers = {} if given is None else {"X-Request-ID": given.encode("latin-1")}
    names = [
        served.client.get("/v1/models/embedder", headers=headers).headers[
            "x-request-id"
        ]
        for _ in range(2)
    ]
    assert all(re.fullmatch("[0-9a-f]{32}", name) for name in names)
    assert names[0] != names[1]


@pytest.mark.parametrize(
    ("path", "status", "level"),
    [
        ("/v1/models/none", 404, "INFO"),
        ("/v1/%zz", 400, "INFO"),
        ("/nothing", 404, "INFO"),
        ("/page/app.js", 200, "INFO"),
    ],
)
def test_refusals_have_lines_too(
    path: str, status: int, level: str, served: Served, logged: Callable[..., Lines]
) -> None:
    lines = logged("json")
    answer = served.client.get(path)
    (line,) = lines.requests()
    assert answer.status_code == line["status"] == status
    assert line["level"] == level
    assert line["request_id"] == answer.headers["x-request-id"]


def test_what_a_guard_refuses_has_a_line(
    serve: Callable[..., Served], logged: Callable[..., Lines]
) -> None:
    lines = logged("json")
    served = serve(token="secret")
    answer = served.client.post(PREDICT, json=ECHO)
    (line,) = lines.requests()
    assert line["status"] == answer.status_code == 401
    assert "secret" not in str(line)


def test_failure_is_an_error_with_its_trace_under_the_same_name(
    serve: Callable[..., Served],
    logged: Callable[..., Lines],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = logged("json")
    served = serve()
    monkeypatch.setattr(served.versions, "statuses", lambda *_: 1 / 0)
    answer = served.client.get("/v1/models/embedder")
    assert answer.status_code == 500
    (line,) = lines.requests()
    assert (line["level"], line["status"]) == ("ERROR", 500)
    assert line["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_probes_that_find_all_well_have_no_line(
    path: str, serve: Callable[..., Served], logged: Callable[..., Lines]
) -> None:
    lines = logged("json")
    served = serve()
    assert served.client.get(path).headers["x-request-id"]
    assert lines.requests() == []
    served.health.drain()
    served.client.get("/readyz")
    assert [line["status"] for line in lines.requests()] == [503]


def test_line_of_text_has_client_time_and_name(
    served: Served, logged: Callable[..., Lines]
) -> None:
    lines = logged("text")
    served.client.get("/v1/models/embedder", headers={"X-Request-ID": "n1"})
    (line,) = lines.texts()
    assert re.search(
        r"INFO GET /v1/models/embedder 200 client=127.0.0.1:123 ms=[\d.]+ "
        "request_id=n1$",
        line,
    )


def test_path_cannot_begin_a_line_of_its_own(
    served: Served, logged: Callable[..., Lines]
) -> None:
    lines = logged("text")
    served.client.get("/v1/models/a%0a2026%20INFO%20forged" + "x" * 1000)
    (line,) = lines.texts()
    assert "%0a2026" in line.lower()
    assert len(line) < 500


def test_requests_have_no_lines_without_the_flag(
    served: Served, logged: Callable[..., Lines]
) -> None:
    lines = logged("json", access_log=False)
    assert served.client.get("/v1/models/embedder").headers["x-request-id"]
    assert lines.texts() == []


def test_pages_of_other_sites_may_send_and_read_the_name(
    serve: Callable[..., Served],
) -> None:
    served = serve(access=Access(cors_origins=("https://shop.example",)))
    answer = served.client.get(
        "/v1/models/embedder", headers={"Origin": "https://shop.example"}
    )
    assert "X-Request-ID" in answer.headers["access-control-allow-headers"]
    assert answer.headers["access-control-expose-headers"] == "X-Request-ID"


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/", "/"),
        ("/v1/models", "/v1/models"),
        ("/v1/models/shoes:predict", "/v1/models/{name}:predict"),
        ("/V1/Models/shoes:predict", "/v1/models/{name}:predict"),
        (
            "/v1/models/shoes/versions/7:predict",
            "/v1/models/{name}/versions/{version}:predict",
        ),
        (
            "/v1/models/shoes/labels/stable/metadata",
            "/v1/models/{name}/labels/{version}/metadata",
        ),
        ("/v1/collections/a%2Fb:search", "/v1/collections/{name}:search"),
        ("/v1/collections/a/image", "/v1/collections/{name}/image"),
        ("/v1/collections/a/browser_model", "/v1/collections/{name}/browser_model"),
        ("/v1/models/shoes:x1", "other"),
        ("/page/app.js", "/page/{file}"),
        ("/wp-login.php", "other"),
    ],
)
def test_routes_are_few(path: str, route: str) -> None:
    assert name_route(path) == route
