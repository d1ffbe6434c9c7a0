from collections.abc import Callable

import pytest

from dce_tf.serving.http.guards import Access, HostGuard, host_of
from dce_tf.serving.model.version_policy import VersionPolicy
from tests.serving.conftest import Client, Served, b64, picture

GOOD = {"signature_name": "echo", "instances": [1.0]}


def test_only_who_has_the_token_is_let_in(serve: Callable[..., Served]) -> None:
    client = serve(token="s3cret/+=~").client
    body = {"instances": [b64(picture())]}
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": b"s3cret/+=~"},
        {"Authorization": b"Bearer s3cret/+="},
        {"Authorization": b"Bearer s3cret/+=~2"},
        {"Authorization": b"x Bearer s3cret/+=~"},
        {"Authorization": b"Basic s3cret/+=~"},
    ):
        answer = client.predict(body, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "error" in answer.json()
    headers = {"Authorization": b"Bearer s3cret/+=~"}
    assert client.predict(body, headers=headers).status_code == 200
    for path in (
        "/metrics",
        "/v1/models/embedder",
        "/v1/collections",
        "/pages",
        "/v1/collections/page/records",
        "/v1/page/",
        "/healthz/v1/collections",
        "/v1/collections/readyz",
    ):
        assert client.get(path).status_code == 401, path
    for path in ("/healthz", "/readyz", "/", "/page/index.html"):
        assert client.get(path).status_code == 200


def test_health_is_told_apart_from_readiness(serve: Callable[..., Served]) -> None:
    served = serve()
    assert served.client.get("/readyz").json() == {"status": "ready"}
    served.health.is_draining = True
    answer = served.client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"error": "The server is ending."}
    assert served.client.get("/healthz").status_code == 200
    assert served.client.predict(GOOD).status_code == 200


def test_a_server_without_a_model_is_not_ready(serve: Callable[..., Served]) -> None:
    served = serve(versions={"policy": VersionPolicy(frozenset({7}))})
    answer = served.client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"error": "No version of embedder is loaded yet."}


def test_the_page_is_served_with_what_browsers_ask(client: Client) -> None:
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert client.get("/page/index.html").text == page.text
    assert client.request("HEAD", "/").status_code == 200
    headers = {"If-None-Match": client.get("/page/index.html").headers["etag"]}
    assert client.get("/page/index.html", headers=headers).status_code == 304


def test_the_page_is_always_given_whole(client: Client) -> None:
    for value in ("bytes=5-1", "bytes=99999-", "lines=1", "bytes=0-1"):
        assert client.get("/", headers={"Range": value}).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/healthz/", 404),
        ("GET", "/page/nothing.js", 404),
        ("GET", "/page/../app.py", 404),
        ("GET", "/page/%2e%2e/app.py", 404),
        ("GET", "/page/..%2fapp.py", 404),
        ("GET", "/page//etc/passwd", 404),
        ("GET", "/page/%00", 404),
        ("POST", "/", 405),
        ("DELETE", "/healthz", 405),
        ("BREW", "/readyz", 405),
    ],
)
def test_other_paths_are_refused_in_the_same_form(
    client: Client, method: str, path: str, status: int
) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json()) == ["error"]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LocalHost:8501", 200),
        ("127.0.0.1:8501", 200),
        ("[::1]:8501", 200),
        ("[::1]", 200),
        ("192.0.2.7", 200),
        ("shop.example", 200),
        ("a.b.inside.example:1", 200),
        ("inside.example", 403),
        ("evil.example", 403),
        ("evil.example:8501", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("evil.example/localhost", 403),
        ("localhost@evil.example", 403),
        ("192.0.2.8", 403),
        ("", 403),
        ("[::1", 403),
    ],
)
def test_only_the_names_of_the_server_are_answered_to(
    serve: Callable[..., Served], host: str, status: int
) -> None:
    names = ("shop.example", "*.inside.example")
    client = serve(access=Access(host="192.0.2.7", allowed_hosts=names)).client
    headers = {"Host": host}
    for path in ("/", "/healthz", "/metrics", "/v1/collections", "/page/index.html"):
        answer = client.get(path, headers=headers)
        assert answer.status_code == status, path
        if status == 403:
            assert "--allowed_hosts" in answer.json()["error"]
    answer = client.predict(GOOD, headers=headers)
    assert answer.status_code == status


def test_any_host_is_answered_to_where_that_is_wanted(
    serve: Callable[..., Served],
) -> None:
    client = serve(access=Access(allowed_hosts=("*",))).client
    for host in ("evil.example", "[::1", ""):
        assert client.get("/healthz", headers={"Host": host}).status_code == 200


def test_a_server_at_all_addresses_answers_to_the_one_that_was_reached() -> None:
    everywhere, here = HostGuard(None, "0.0.0.0"), HostGuard(None, "192.0.2.7")
    scope = {"server": ("192.0.2.9", 8501)}
    assert everywhere._knows("192.0.2.9", scope)
    assert not everywhere._knows("192.0.2.8", scope)
    assert not here._knows("192.0.2.9", scope)


def test_hosts_are_read_as_browsers_write_them() -> None:
    for text, host in (
        ("Example.COM.:80", "example.com"),
        ("[2001:DB8::1]:80", "2001:db8::1"),
        ("a:b", None),
        ("::1", None),
        ("a b", None),
        ("", None),
    ):
        assert host_of(text) == host


OTHERS = [
    "https://evil.example",
    "null",
    "http://localhost:81",
    "http://localhost.evil",
]


def test_pages_of_other_sites_may_not_ask_the_model(client: Client) -> None:
    for origin in OTHERS:
        answer = client.predict(GOOD, headers={"Origin": origin})
        assert answer.status_code == 403
        assert "--cors_origins" in answer.json()["error"]
        seen = client.get("/v1/models/embedder", headers={"Origin": origin})
        assert seen.status_code == 200
        assert "access-control-allow-origin" not in seen.headers
    own = {"Origin": "http://localhost"}
    assert client.predict(GOOD, headers=own).status_code == 200


def test_pages_of_chosen_origins_may(serve: Callable[..., Served]) -> None:
    origins = ("https://shop.example", "http://localhost:3000")
    access = Access(cors_origins=origins, token="secret")
    client = serve(access=access).client
    token = {"Authorization": "Bearer secret"}
    for origin in origins:
        asked = client.request(
            "OPTIONS", "/v1/models/embedder:predict", headers={"Origin": origin}
        )
        answered = client.predict(GOOD, headers={"Origin": origin, **token})
        refused = client.predict(GOOD, headers={"Origin": origin})
        assert refused.status_code == 401
        for answer in (asked, answered, refused):
            assert answer.headers["access-control-allow-origin"] == origin
            assert answer.headers["vary"] == "Origin"
            assert answer.headers["access-control-allow-methods"] == "POST, GET"
            allowed = answer.headers["access-control-allow-headers"]
            assert allowed == (
                "Content-Type, Authorization, X-Per-Item-Errors, X-Request-ID"
            )
        assert asked.status_code == answered.status_code == 200
        assert asked.content == b""
    for origin in OTHERS:
        answer = client.predict(GOOD, headers={"Origin": origin, **token})
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers
        assert answer.headers["vary"] == "Origin"


def test_pages_of_every_origin_may_where_that_is_wanted(
    serve: Callable[..., Served],
) -> None:
    client = serve(access=Access(cors_origins=("*",))).client
    for origin in OTHERS:
        answer = client.predict(GOOD, headers={"Origin": origin})
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "*"


def test_options_are_answered_as_tensorflow_serving_does(client: Client) -> None:
    for path in ("/v1/models/embedder:predict", "/v1/models/x", "/v1/collections/x"):
        for origin in ("https://shop.example", "http://localhost"):
            answer = client.request("OPTIONS", path, headers={"Origin": origin})
            assert (answer.status_code, answer.content) == (200, b"")
            assert "access-control-allow-origin" not in answer.headers
        for headers in ({}, {"Origin": "null"}):
            answer = client.request("OPTIONS", path, headers=headers)
            assert answer.status_code == 400
            expected = "Origin header is missing in CORS preflight"
            assert answer.json() == {"error": expected}
