"""Small requests that want large work are refused, or answered, and harm nobody."""

import errno
import gzip
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from benchmarks.hostile_kinds import DELETE, KINDS, PREDICT, REBUILD, SEARCH, UPSERT
from dce_tf.index import Collection, DamagedError, build_collection, open_collection
from dce_tf.serving.limits import Limits
from tests.serving.conftest import DIM, Client, GatedServable, Served, b64, picture
from tests.waiting import until

LIMITS = Limits(body_bytes=400_000, query_bytes=20_000, json_values=10_000, records=50)


@pytest.fixture
def things(loaded: Callable[..., Any], tmp_path: Path) -> Iterator[Collection]:
    folder = tmp_path / "things"
    model = loaded(1, Path()).fingerprint
    build_collection(folder, [[]], fingerprint=model, embedding_dim=DIM)
    opened = open_collection(str(folder))
    yield opened
    opened.close()


@pytest.fixture
def client(serve: Callable[..., Served], things: Collection) -> Client:
    return serve(collections=[things], limits=LIMITS).client


def vector(seed: int) -> list[float]:
    return np.random.default_rng(seed).normal(size=DIM).tolist()


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_is_refused_and_the_next_good_one_answered(
    client: Client, name: str
) -> None:
    for size in (0, 1, 100, 30_000, 200_000):
        hostile = KINDS[name](size)
        answer = client.post(
            hostile.path, content=hostile.body, headers=dict(hostile.headers)
        )
        assert answer.status_code < 500, answer.text
        if answer.status_code >= 400:
            assert list(answer.json()) == ["error"]
            assert len(answer.text) < 3000
    assert client.get("/healthz").status_code == 200
    good = {"instances": [b64(picture())]}
    assert client.predict(good).status_code == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (PREDICT, {"signature_name": "echo", "instances": [[]] * 10_000}),
        (PREDICT, {"signature_name": "echo", "instances": [{}] * 10_000}),
        (PREDICT, {"signature_name": "echo", "instances": [""] * 10_000}),
        (UPSERT, {"records": [{}] * 10_000}),
        (SEARCH, {"image": {"b64": ""}, "vector": [[]] * 10_000}),
    ],
)
def test_more_values_than_allowed_are_a_413_before_they_are_read(
    client: Client, path: str, body: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: bytes) -> None:
        raise AssertionError("This is not to be read.")

    for module in ("http.predictions", "search.requests"):
        monkeypatch.setattr(f"dce_tf.serving.{module}.parse", fail)
    answer = client.post(path, json=body)
    assert answer.status_code == 413
    assert "more than 10,000 values" in answer.json()["error"]


def test_requests_without_an_image_have_a_limit_of_their_own(client: Client) -> None:
    for path, body in (
        (SEARCH, {"id": "x" * 20_000}),
        (SEARCH, {"vector": vector(1), "filter": {"label": "x" * 20_000}}),
        (DELETE, {"ids": ["x" * 1000] * 21}),
        (REBUILD, {"x": "x" * 20_000}),
        ("/v1/models/embedder:classify", {"examples": ["x" * 20_000]}),
    ):
        answer = client.post(path, json=body)
        assert answer.status_code == 413, path
        assert "larger than 20,000 bytes. That is the limit" in answer.json()["error"]
    image = picture("BMP", (100, 90))
    assert len(image) > 20_000
    for body in ({"image": b64(image), "k": 3}, {"k": 3, "image": b64(image)}):
        assert client.post(SEARCH, json=body).status_code == 200
    assert client.predict({"instances": [b64(image)]}).status_code == 200


def test_an_image_that_comes_late_makes_no_search_longer(client: Client) -> None:
    body = {"filter": {"label": "x" * 20_000}, "image": b64(picture())}
    assert client.post(SEARCH, json=body).status_code == 413
    untyped = {"Content-Type": "application/octet-stream"}
    for text in (json.dumps(body).encode(), gzip.compress(json.dumps(body).encode())):
        packed = {} if text.startswith(b"{") else {"Content-Encoding": "gzip"}
        answer = client.post(SEARCH, content=text, headers={**untyped, **packed})
        assert answer.status_code == 413
        assert "larger than 20,000 bytes. That is the limit" in answer.json()["error"]
    body = {"image": b64(picture("BMP", (100, 90)))}
    content = json.dumps(body).encode()
    assert len(content) > 20_000
    assert client.post(SEARCH, content=content, headers=untyped).status_code == 200


def test_text_that_grows_when_it_is_read_is_refused(
    serve: Callable[..., Served],
) -> None:
    limits = Limits(body_bytes=200_000, json_values=100)
    client = serve(limits=limits).client
    plain, wide = "a" * 180_000, "a" * 180_000 + "😀"
    assert client.predict({"instances": [plain]}).status_code == 400
    answer = client.predict({"instances": [wide]})
    assert answer.status_code == 413
    assert "would take up to 90" in answer.json()["error"]


@pytest.mark.parametrize(
    ("path", "body", "name"),
    [
        (DELETE, {"ids": list(range(51))}, "'ids' has 51 entries"),
        (DELETE, {"ids": [1] * 51}, "'ids' has 51 entries"),
        (UPSERT, {"records": [{"id": n} for n in range(51)]}, "'records' has 51"),
        (PREDICT, {"signature_name": "echo", "instances": [1] * 51}, "51 examples"),
        (PREDICT, {"signature_name": "echo", "inputs": [1] * 51}, "51 examples"),
    ],
)
def test_more_records_than_allowed_are_a_413(
    client: Client, path: str, body: Any, name: str
) -> None:
    for headers in ({}, {"X-Per-Item-Errors": "1"}):
        answer = client.post(path, json=body, headers=headers)
        assert answer.status_code == 413
        assert name in answer.json()["error"]
        assert "up to 50 at once" in answer.json()["error"]


def test_an_id_that_is_repeated_is_deleted_once(
    client: Client, things: Collection
) -> None:
    records = [{"id": each, "vector": vector(1)} for each in (1, "1", 2)]
    assert client.post(UPSERT, json={"records": records}).status_code == 200
    asked: list[Any] = []
    delete = things.delete
    things.delete = lambda ids: asked.extend(ids) or delete(ids)
    answer = client.post(DELETE, json={"ids": [1, "1", 1, "1", 1]})
    assert answer.json() == {"deleted": 2}
    assert asked == [1, "1"]


def test_deleting_stops_when_nobody_waits_for_it(
    serve: Callable[..., Served], things: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dce_tf.serving.search.actions._BLOCK", 1)
    client = serve(collections=[things], limits=Limits(answer_seconds=0.2)).client
    gate, asked = threading.Event(), []

    def delete(ids: Any) -> int:
        asked.extend(ids)
        assert gate.wait(120)
        return 1

    monkeypatch.setattr(things, "delete", delete)
    answer = client.post(DELETE, json={"ids": [1, 2, 3]})
    assert answer.status_code == 504
    gate.set()
    # Its thread goes on to the next request only when it has ended.
    for number in (7, 8):
        assert client.post(DELETE, json={"ids": [number]}).status_code == 200
    assert sorted(asked) == [1, 7, 8]


def test_records_nobody_waits_for_are_not_stored(
    serve: Callable[..., Served], things: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve(collections=[things], limits=Limits(answer_seconds=1)).client
    gate, made = threading.Event(), threading.Semaphore(0)

    def make_thumbnail(_: bytes) -> None:
        made.release()
        assert gate.wait(120)

    monkeypatch.setattr("dce_tf.serving.search.actions.make_thumbnail", make_thumbnail)
    records = [{"id": n, "image": b64(picture())} for n in range(3)]
    assert client.post(UPSERT, json={"records": records}).status_code == 504
    gate.set()
    for number in (7, 8):
        good = {"records": [{"id": number, "vector": vector(1)}]}
        assert client.post(UPSERT, json=good).status_code == 200
    assert len(things) == 2
    assert made.acquire(blocking=False)
    assert not made.acquire(blocking=False)


def test_the_time_limit_counts_unpacking_and_reading(
    serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve(limits=Limits(answer_seconds=0.2)).client
    gate = threading.Event()
    monkeypatch.setattr(
        "dce_tf.serving.http.rest.read_prediction", lambda *_, **__: gate.wait(120)
    )
    body = json.dumps({"instances": ["x" * 200_000]}).encode()
    answer = client.predict(content=body)
    gate.set()
    assert answer.status_code == 504
    assert answer.json() == {"error": "There was no answer within 0.2 seconds."}


def test_others_are_answered_while_a_large_body_is_read(
    serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve().client
    gate = threading.Event()
    read = "dce_tf.serving.http.rest.read_prediction"
    with monkeypatch.context() as patched:
        patched.setattr(read, lambda *_, **__: gate.wait(120))
        body = json.dumps({"instances": ["x" * 200_000]}).encode()
        reading = client.begin("POST", PREDICT, content=body)
        assert client.get("/healthz").status_code == 200
    assert client.predict({"instances": [b64(picture())]}).status_code == 200
    gate.set()
    reading.result(60)


def test_a_large_request_leaves_room_for_others(
    serve: Callable[..., Served],
) -> None:
    served = serve(load=GatedServable, max_batch_size=2, max_queued=20, num_threads=1)
    servable = served.servable()
    while servable.running.acquire(blocking=False):
        pass  # Warm-up requests.
    servable.gate.clear()
    large = {"signature_name": "echo", "instances": [float(n) for n in range(1000)]}
    small = {"signature_name": "echo", "instances": [-1.0]}
    url = PREDICT
    first = served.client.begin("POST", url, json=large)
    assert servable.running.acquire(timeout=60)
    others = [served.client.begin("POST", url, json=small) for _ in range(3)]
    until(lambda: served.batcher.queued >= 17)
    servable.gate.set()
    assert [each.result(60).status_code for each in others] == [200] * 3
    answer = first.result(60).json()["predictions"]
    assert [each["y"] for each in answer] == large["instances"]


def test_a_collection_is_rebuilt_once_at_a_time_and_searched_meanwhile(
    serve: Callable[..., Served], things: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve(collections=[things]).client
    gate, begun = threading.Event(), threading.Event()

    def rebuild() -> None:
        begun.set()
        assert gate.wait(120)

    monkeypatch.setattr(things, "rebuild", rebuild)
    first = client.begin("POST", REBUILD)
    assert begun.wait(60)
    for _ in range(20):
        answer = client.post(REBUILD)
        assert answer.status_code == 409
        assert answer.json() == {"error": "things is being rebuilt already."}
    assert client.post(SEARCH, json={"vector": vector(1)}).status_code == 200
    gate.set()
    assert first.result(60).status_code == 200
    assert client.post(REBUILD).status_code == 200


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("upsert", UPSERT, {"records": [{"id": 1, "vector": vector(1)}]}),
        ("delete", DELETE, {"ids": [1]}),
        ("rebuild", REBUILD, {}),
    ],
)
def test_a_full_disk_is_a_507_and_a_line_in_the_log(
    client: Client,
    things: Collection,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    method: str,
    path: str,
    body: Any,
    number: int,
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, "/home/secret/records.sqlite cannot be written")

    with monkeypatch.context() as patched:
        patched.setattr(things, method, fail)
        answer = client.post(path, json=body)
    assert answer.status_code == 507
    assert "Make room" in answer.json()["error"]
    assert "secret" not in answer.text
    line, request = caplog.records
    assert request.name == "dce_tf.serving.requests"
    assert "/home/secret/records.sqlite" in line.getMessage()
    assert line.exc_info is None
    assert client.post(path, json=body).status_code == 200


def test_folders_of_the_server_are_not_told(
    client: Client, things: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in ("/v1/collections", "/v1/collections/things"):
        text = client.get(path).text
        assert '"model"' not in text
        assert '"image_root"' not in text
    for error, status in (
        (DamagedError("/home/secret/records.sqlite is damaged"), 500),
        (OSError("/home/secret/records.sqlite cannot be read"), 503),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(things, "search", Mock(side_effect=error))
            answer = client.post(SEARCH, json={"vector": vector(1)})
        assert answer.status_code == status
        assert "secret" not in answer.text
        assert "log" in answer.json()["error"]


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        (PREDICT, lambda images: {"instances": images}, {}),
        (PREDICT, lambda images: {"instances": images}, {"X-Per-Item-Errors": "1"}),
        (PREDICT, lambda images: {"inputs": images}, {}),
        (
            UPSERT,
            lambda images: {
                "records": [{"id": n, "image": each} for n, each in enumerate(images)]
            },
            {},
        ),
    ],
    ids=["rows", "each", "columns", "upsert"],
)
def test_the_pixels_of_all_images_of_a_request_are_bounded(
    serve: Callable[..., Served],
    things: Collection,
    path: str,
    body: Callable[[list[Any]], Any],
    headers: dict[str, str],
) -> None:
    served = serve(collections=[things], max_request_pixels=1000)
    fine, many = ([b64(picture(size=(20, 10)))] * count for count in (5, 6))
    answer = served.client.post(path, json=body(many), headers=headers)
    assert answer.status_code == 413
    assert answer.json()["error"].startswith(
        "The images of the request have 1,200 pixels together; this server decodes up "
        "to 1,000 at once (--max_request_pixels)."
    )
    assert served.client.post(path, json=body(fine), headers=headers).status_code == 200


def test_images_are_decoded_in_batches_of_bounded_pixels(
    serve: Callable[..., Served],
) -> None:
    rows = []
    served = serve(max_pixels=500, num_threads=1)
    run = served.predictor._run
    served.predictor._run = lambda servable, name, inputs: (
        rows.append(len(inputs["image_bytes"])) or run(servable, name, inputs)
    )
    images = [b64(picture(size=(20, 10)))] * 5 + [b64(picture(size=(5, 5)))] * 9
    answer = served.client.predict({"instances": images})
    assert len(answer.json()["predictions"]) == 14
    assert rows == [2, 2, 10]


@pytest.mark.parametrize("count", [200, pytest.param(5000, marks=pytest.mark.slow)])
def test_nothing_built_from_these_kinds_fails_the_server(
    client: Client, count: int
) -> None:
    rng = np.random.default_rng(count)
    names = sorted(KINDS)
    for number in range(count):
        hostile = KINDS[names[number % len(names)]](int(10 ** rng.uniform(0, 5)))
        body, headers = bytearray(hostile.body), dict(hostile.headers)
        if rng.random() < 0.3:
            del body[rng.integers(len(body)) :]
        elif rng.random() < 0.3:
            body[rng.integers(len(body))] = rng.integers(256)
        if rng.random() < 0.1:
            headers.pop("Content-Encoding", None)
        if rng.random() < 0.1:
            headers["X-Per-Item-Errors"] = "1"
        path = [hostile.path, PREDICT, SEARCH, UPSERT, DELETE][
            max(0, rng.integers(9) - 4)
        ]
        answer = client.post(path, content=bytes(body), headers=headers)
        assert answer.status_code < 500, (number, path, answer.text)
    assert client.predict({"instances": [b64(picture())]}).status_code == 200
