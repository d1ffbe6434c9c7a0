import asyncio
import concurrent.futures
import gzip
import json
import time
from collections.abc import AsyncIterator, Callable

import numpy as np
import pytest

from dce_tf.serving.errors import ServingError
from dce_tf.serving.http.bodies import BodyKind, _Growing, unpack
from dce_tf.serving.limits import Limits
from tests.serving.conftest import Client, GatedServable, Served

FEW = Limits(body_bytes=10_000, json_values=100)  # Four bodies fit into memory.
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
            gzip.compress(b"{}", mtime=0)[:-3],
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
    growing = _Growing(Limits(body_bytes=1200), BodyKind.LARGE)
    bomb = gzip.compress(bytes(50_000_000))
    with pytest.raises(ServingError) as error:
        unpack(bomb, growing.add)
    assert error.value.http == 413
    assert not growing.value()
    members = gzip.compress(bytes(600)) * 2
    unpack(members, growing.add)
    assert len(growing.value()) == 1200
    with pytest.raises(ServingError):
        unpack(gzip.compress(b"1"), growing.add)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        bytes(20_000_000) + bytes(range(256)) * 100,
        np.random.default_rng(0).bytes(3_000_000),
    ],
    ids=["empty", "short", "repetitive", "random"],
)
def test_gzip_is_unpacked_to_its_end(content: bytes) -> None:
    pieces: list[bytes] = []
    taken: list[int] = []
    for packed in (gzip.compress(content), gzip.compress(content, 0)):
        pieces.clear()
        unpack(packed + gzip.compress(b"end"), pieces.append, taken.append)
        assert b"".join(pieces) == content + b"end"
        with pytest.raises(ServingError, match="cut short"):
            unpack(packed[:-1], pieces.append)
        with pytest.raises(ServingError, match="not gzip"):
            unpack(packed + b"more", pieces.append)
    assert sum(taken) == 2 * (len(content) + 3)
    assert max(taken) <= 2**20


def test_unpacking_ends_when_somebody_stops_it() -> None:
    def stop(size: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        unpack(gzip.compress(bytes(100)), lambda _: None, stop)


def test_what_bodies_become_is_bounded_too(serve: Callable[..., Served]) -> None:
    served = serve(limits=FEW, load=GatedServable)
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
        asked = concurrent.futures.as_completed(waiting, timeout=60)
        refused = [next(asked) for _ in range(26)]
    finally:
        servable.gate.set()
    assert {each.result().status_code for each in refused} == {503}
    assert "Too many large requests" in refused[0].result().json()["error"]
    answered = [each for each in waiting if each not in refused]
    assert [each.result(60).status_code for each in answered] == [200] * 4
    assert client.predict(**packed).status_code == 200


def test_bodies_of_all_requests_together_are_bounded(
    serve: Callable[..., Served],
) -> None:
    async def held(gate: asyncio.Event) -> AsyncIterator[bytes]:
        yield b" " * 9000
        await gate.wait()
        yield json.dumps(GOOD).encode()

    client = serve(limits=FEW).client
    gate = asyncio.Event()
    url = "/v1/models/embedder:predict"
    waiting = [client.begin("POST", url, content=held(gate)) for _ in range(4)]
    body = json.dumps(GOOD).encode().ljust(9000)
    deadline = time.monotonic() + 60
    while (refused := client.predict(content=body)).status_code == 200:
        assert time.monotonic() < deadline
    assert refused.status_code == 503
    assert "Too many large requests" in refused.json()["error"]
    client.call(gate.set)
    assert [each.result(60).status_code for each in waiting] == [200] * 4
    assert client.predict(content=body).status_code == 200


def test_large_bodies_leave_room_for_small_ones(serve: Callable[..., Served]) -> None:
    async def held(gate: asyncio.Event) -> AsyncIterator[bytes]:
        yield b" " * 90_000
        await gate.wait()
        yield json.dumps(GOOD).encode()

    limits = Limits(body_bytes=100_000, query_bytes=10_000, json_values=1000)
    client = serve(limits=limits).client
    gate = asyncio.Event()
    url = "/v1/models/embedder:predict"
    waiting = [client.begin("POST", url, content=held(gate)) for _ in range(3)]
    large = json.dumps(GOOD).encode().ljust(90_000)
    deadline = time.monotonic() + 60
    while client.predict(content=large).status_code == 200:
        assert time.monotonic() < deadline
    for _ in range(10):
        assert client.predict(GOOD).status_code == 200
        assert client.get("/healthz").status_code == 200
    client.call(gate.set)
    assert [each.result(60).status_code for each in waiting] == [200] * 3


@pytest.mark.parametrize("kind", list(BodyKind))
def test_no_kind_of_body_may_be_longer_than_all_may(kind: BodyKind) -> None:
    # The limit of bodies may be set below that of requests without an image.
    growing = _Growing(Limits(body_bytes=10_000), kind)
    growing.add(bytes(10_000))
    with pytest.raises(ServingError, match="larger than 10,000 bytes"):
        growing.add(b" ")
