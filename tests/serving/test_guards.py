import asyncio
import concurrent.futures
import gzip
import json
import time
from collections.abc import AsyncIterator, Callable

import pytest

from serving.errors import ServingError
from serving.guards import Limits, unpack
from tests.serving.conftest import Client, GatedServable, Served, b64, picture

SMALL = Limits(body_bytes=10_000, body_seconds=0.3)
GOOD = {"signature_name": "echo", "instances": [1.0]}


@pytest.fixture
def small(serve: Callable[..., Served]) -> Client:
    return serve(limits=SMALL).client


async def stream(size: int, chunk: int = 1000) -> AsyncIterator[bytes]:
    for _ in range(size // chunk):
        yield b" " * chunk


def test_a_body_that_is_too_large_is_a_413(small: Client) -> None:
    for options in (
        {"content": b" " * 10_001},
        {"content": stream(11_000)},
        {"content": stream(10**9, 10**6)},
        {
            "content": gzip.compress(bytes(10_001)),
            "headers": {"Content-Encoding": "gzip"},
        },
    ):
        answer = small.predict(**options)
        assert answer.status_code == 413
        assert answer.headers["connection"] == "close"
        assert "larger than 10,000 bytes" in answer.json()["error"]
    assert small.predict(GOOD).status_code == 200


def test_a_body_without_end_is_not_read_for_ever(small: Client) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1000
            yield b" " * 1000

    assert small.predict(content=endless()).status_code == 413
    assert sent < 40_000


def test_a_body_that_just_fits_is_taken(small: Client) -> None:
    body = json.dumps(GOOD).encode().ljust(10_000)
    assert small.predict(content=body).status_code == 200
    packed = gzip.compress(body)
    answer = small.predict(content=packed, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 200


def test_a_body_that_does_not_come_is_a_408(small: Client) -> None:
    async def slowly() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(60)

    answer = small.predict(content=slowly())
    assert answer.status_code == 408
    assert answer.json() == {"error": "The request was not here within 0.3 seconds."}


@pytest.mark.parametrize(
    ("encoding", "body", "status", "error"),
    [
        ("gzip", b"{}", 400, "The body is not gzip, as its Content-Encoding says."),
        (
            "gzip",
            gzip.compress(b"{}")[:-3],
            400,
            "The body is gzip that was cut short.",
        ),
        ("br", b"{}", 415, "Content-Encoding br is not known here."),
    ],
)
def test_what_cannot_be_unpacked_is_refused(
    client: Client, encoding: str, body: bytes, status: int, error: str
) -> None:
    answer = client.predict(content=body, headers={"Content-Encoding": encoding})
    assert answer.status_code == status
    assert answer.json()["error"].startswith(error)


def test_a_bomb_is_not_unpacked_further_than_allowed() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    with pytest.raises(ServingError) as error:
        unpack(bomb, 1000)
    assert error.value.http == 413
    members = gzip.compress(bytes(600)) * 2
    assert len(unpack(members, 1200)) == 1200
    with pytest.raises(ServingError):
        unpack(members, 1199)


def test_unpacking_goes_on_until_all_is_there_or_somebody_stops_it() -> None:
    content = bytes(20_000_000) + bytes(range(256)) * 100
    taken: list[int] = []
    assert unpack(gzip.compress(content), 10**8, taken.append) == content
    assert sum(taken) == len(content)
    assert len(taken) > 4

    def stop(size: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        unpack(gzip.compress(content), 10**8, stop)
    with pytest.raises(ServingError, match="cut short"):
        unpack(gzip.compress(content)[:-1], 10**8)


def test_what_bodies_become_is_bounded_too(serve: Callable[..., Served]) -> None:
    served = serve(limits=Limits(body_bytes=10_000), load=GatedServable)
    client, servable = served.client, served.servable()
    while servable.running.acquire(blocking=False):
        pass  # Warm-up requests.
    servable.gate.clear()
    packed = {
        "content": gzip.compress(json.dumps(GOOD).encode().ljust(9000)),
        "headers": {"Content-Encoding": "gzip"},
    }
    url = "/v1/models/embedder:predict"
    waiting = [client.begin("POST", url, **packed) for _ in range(30)]
    try:
        asked = concurrent.futures.as_completed(waiting, timeout=10)
        refused = [next(asked) for _ in range(13)]
    finally:
        servable.gate.set()
    assert {each.result().status_code for each in refused} == {503}
    assert "Too many large requests" in refused[0].result().json()["error"]
    answered = [each for each in waiting if each not in refused]
    assert [each.result(20).status_code for each in answered] == [200] * 17
    assert client.predict(**packed).status_code == 200


def test_bodies_of_all_requests_together_are_bounded(
    serve: Callable[..., Served],
) -> None:
    async def held(gate: asyncio.Event) -> AsyncIterator[bytes]:
        yield b" " * 9000
        await gate.wait()
        yield json.dumps(GOOD).encode()

    client = serve(limits=Limits(body_bytes=10_000)).client
    gate = asyncio.Event()
    url = "/v1/models/embedder:predict"
    waiting = [client.begin("POST", url, content=held(gate)) for _ in range(17)]
    body = json.dumps(GOOD).encode().ljust(9000)
    deadline = time.monotonic() + 10
    while (refused := client.predict(content=body)).status_code == 200:
        assert time.monotonic() < deadline
    assert refused.status_code == 503
    assert "Too many large requests" in refused.json()["error"]
    client.call(gate.set)
    assert [each.result(20).status_code for each in waiting] == [200] * 17
    assert client.predict(content=body).status_code == 200


def test_only_who_has_the_token_is_let_in(serve: Callable[..., Served]) -> None:
    client = serve(token="sécret").client
    body = {"instances": [b64(picture())]}
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "sécret".encode()},
        {"Authorization": "Basic sécret".encode()},
    ):
        answer = client.predict(body, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "error" in answer.json()
    headers = {"Authorization": "Bearer sécret".encode()}
    assert client.predict(body, headers=headers).status_code == 200
    for path in ("/metrics", "/v1/models/embedder", "/v1/collections", "/pages"):
        assert client.get(path).status_code == 401
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
    served = serve(versions={"wanted": (7,)})
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
