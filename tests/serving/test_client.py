import email.utils
import http.server
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dce_tf.export.fingerprint import fingerprint
from dce_tf.index import Collection, build_collection, open_collection
from dce_tf.serving.client import Client, Hit, Record, ServerError, Version
from dce_tf.serving.client import client as client_module
from dce_tf.serving.limits import Limits
from tests.serving.conftest import DIM, Live, Served, picture

VERSIONS = {"model_version_status": [{"version": "1", "state": "AVAILABLE"}]}


@pytest.fixture
def things(tiny_versions: Path, tmp_path: Path) -> Iterator[Collection]:
    """An empty collection of version 1."""
    build_collection(
        tmp_path / "things",
        [[]],
        fingerprint=fingerprint(tiny_versions / "1"),
        embedding_dim=DIM,
    )
    opened = open_collection(str(tmp_path / "things"))
    yield opened
    opened.close()


@pytest.fixture
def connect(
    serve: Callable[..., Served], live: Callable[..., Live]
) -> Iterator[Callable[..., Client]]:
    """Makes clients of a server that is started with some options."""
    clients = []

    def begin(served: dict[str, Any] | None = None, **options: Any) -> Client:
        port = live(serve(**(served or {}))).port
        clients.append(Client(f"http://127.0.0.1:{port}/", **options))
        return clients[-1]

    yield begin
    for each in clients:
        each.close()


Answer = tuple[int, dict[str, str], Any] | None


class Fake:
    """A server that answers by a script; None hangs up without an answer."""

    def __init__(self) -> None:
        fake = self
        self.script: list[Answer] = []
        self.asked: list[tuple[str, str, Any]] = []
        self.headers: list[dict[str, str]] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(size) if size else None
                if body and self.headers["Content-Type"] == "application/json":
                    body = json.loads(body)
                fake.asked.append((self.command, self.path, body))
                fake.headers.append(dict(self.headers))
                answer = fake.script.pop(0)
                if answer is None:
                    self.close_connection = True
                    return
                status, headers, value = answer
                data = value if isinstance(value, bytes) else json.dumps(value).encode()
                self.send_response(status)
                for name, text in {"Content-Length": len(data), **headers}.items():
                    self.send_header(name, str(text))
                self.end_headers()
                self.wfile.write(data)

            do_POST = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def fake() -> Iterator[Fake]:
    made = Fake()
    yield made
    made.close()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the client would have waited, one after the other."""
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    return waited


def test_embeddings_are_those_of_the_model_whatever_the_batches(
    connect: Callable[..., Client], tmp_path: Path
) -> None:
    client = connect(batch_size=3)
    images: list[Any] = [picture(seed=seed) for seed in range(7)]
    alone = np.concatenate([client.embed([image]) for image in images])
    (tmp_path / "a.png").write_bytes(images[0])
    images[0], images[1] = tmp_path / "a.png", images[1]
    embeddings = client.embed(image for image in images)
    assert embeddings.shape == (7, DIM)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(embeddings, alone, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-6)
    assert client.embed([]).shape == (0, 0)


def test_batches_are_bounded_in_number_and_bytes(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "_MOST_BYTES", 10)
    fake.script = [
        (200, {}, {"predictions": [[float(n)] for n in range(size)]})
        for size in (2, 1, 1, 3, 1)
    ]
    sizes = (5, 5, 6, 11, 1, 1, 1, 1)
    with Client(fake.url, batch_size=3, raw=False) as client:
        found = client.embed(b"x" * size for size in sizes)
    assert found.shape == (8, 1)
    assert [len(body["instances"]) for _, _, body in fake.asked] == [2, 1, 1, 3, 1]


NOT_JSON = (400, {}, {"error": "JSON Parse error: Invalid value. at offset: 0"})
ROW = (200, {}, {"predictions": [[1.0]]})


def test_images_are_sent_as_they_are(fake: Fake) -> None:
    fake.script = [ROW, (200, {}, {"predictions": [[1.0], [2.0]]}), (200, {}, {})]
    fake.script += [(200, {}, {"hits": []})] * 2
    with Client(fake.url) as client:
        client.embed([b"{one}"])
        assert client.embed([b"one", b"two"]).shape == (2, 1)
        client._ask_of([b"x"], "/v1/any", None, {}, dict)
        where = {"label": "é"}
        client.search("things", image=b"one", k=3, where=where, min_probability=0.5)
        client.search("things", vector=[1.0])
    kinds = [each["Content-Type"].partition(";")[0] for each in fake.headers]
    one, many = "application/octet-stream", "multipart/form-data"
    assert kinds == [one, many, one, one, "application/json"]
    assert fake.asked[0][2] == b"{one}"
    assert fake.asked[1][2].count(b'filename="image"') == 2
    target, _, query = fake.asked[3][1].partition("?")
    assert target == "/v1/collections/things:search"
    assert {k: json.loads(v) for k, v in urllib.parse.parse_qsl(query)} == {
        "k": 3,
        "filter": where,
        "min_probability": 0.5,
    }


@pytest.mark.parametrize("refusal", [NOT_JSON, (415, {}, b"<h1>Unsupported</h1>")])
def test_a_server_that_reads_json_only_gets_json(fake: Fake, refusal: Answer) -> None:
    fake.script = [refusal, ROW, ROW, ROW]
    with Client(fake.url) as client:
        for _ in range(3):
            assert client.embed([b"x"]).tolist() == [[1.0]]
    first, *others = [body for _, _, body in fake.asked]
    assert first == b"x"
    assert others == [{"instances": [{"b64": "eA=="}]}] * 3


def test_an_image_that_is_refused_is_not_sent_again_as_json(fake: Fake) -> None:
    fake.script = [(400, {}, {"error": "PNG, damaged"}), ROW]
    with Client(fake.url) as client:
        with pytest.raises(ServerError, match="image 0: PNG, damaged"):
            client.embed([b"x"])
        client.embed([b"x"])
    assert [body for _, _, body in fake.asked] == [b"x", b"x"]


def test_options_too_long_for_a_url_go_as_json(fake: Fake) -> None:
    fake.script = [(200, {}, {"hits": []})] * 2
    long = {"label": {"$in": ["x" * 20] * 500}}
    with Client(fake.url) as client:
        client.search("things", image=b"x", where=long)
        client.search("things", image=b"x")
    (_, path, body), (_, _, other) = fake.asked
    assert (path, body["filter"]) == ("/v1/collections/things:search", long)
    assert other == b"x"


def test_an_image_that_cannot_be_read_is_named(
    connect: Callable[..., Client], tmp_path: Path
) -> None:
    torn = tmp_path / "torn.png"
    torn.write_bytes(b"no image")
    with pytest.raises(ServerError, match=r"torn\.png: .* \(HTTP 400\)") as caught:
        connect().embed([picture(), torn, picture()])
    assert caught.value.status == 400


def test_the_versions_of_the_model_are_told(connect: Callable[..., Client]) -> None:
    assert connect().status() == [Version(1, "AVAILABLE")]
    with pytest.raises(ServerError, match="shoes") as caught:
        connect(model="shoes").status()
    assert caught.value.status == 404


def test_records_are_stored_found_and_removed(
    connect: Callable[..., Client], things: Collection
) -> None:
    client = connect({"collections": [things]}, batch_size=2)
    images = [picture(seed=seed) for seed in range(5)]
    records = [
        Record(n, image, label=f"class {n % 2}", metadata={"n": n})
        for n, image in enumerate(images)
    ]
    vector = np.eye(1, DIM, dtype=np.float32)[0]
    assert client.upsert("things", [*records, Record("six", vector=vector)]) == 6
    (described,) = client.collections()
    assert (described["name"], described["count"]) == ("things", 6)
    assert client.collection("things")["labels"] == ["class 0", "class 1"]
    first, *_ = hits = client.search("things", image=images[3], k=4)
    assert len(hits) == 4
    assert isinstance(first, Hit)
    assert (first.id, first.label, first.metadata) == (3, "class 1", {"n": 3})
    assert first.score == pytest.approx(1, abs=1e-5)
    assert first.image == "/v1/collections/things/image?id=3"
    assert 3 not in [hit.id for hit in client.search("things", record_id=3)]
    (six,) = client.search("things", vector=vector, k=1)
    assert (six.id, six.label, six.image) == ("six", None, None)
    where = {"label": "class 0", "n": {"$gt": 0}}
    found = client.search("things", image=images[3], where=where)
    assert {hit.id for hit in found} == {2, 4}
    assert client.delete("things", [0, 1, "1"]) == 2
    assert client.rebuild("things") == 4
    assert client.search("things", record_id=2, k=9) != []


def test_what_is_searched_for_is_one_thing(connect: Callable[..., Client]) -> None:
    for query in ({}, {"image": b"x", "record_id": 1}):
        with pytest.raises(ValueError, match="expected exactly one"):
            connect().search("things", **query)


def test_a_record_that_is_refused_is_placed(
    connect: Callable[..., Client], things: Collection
) -> None:
    client = connect({"collections": [things]}, batch_size=2)
    records = [Record(f"r{n}", picture(seed=n)) for n in range(3)]
    with pytest.raises(ServerError, match=r"from 'r2' on, records\[1\]"):
        client.upsert("things", [*records, Record("torn", b"no image")])
    assert len(things) == 2


def test_a_token_is_shown(connect: Callable[..., Client]) -> None:
    assert connect({"token": "secret"}, token="secret").status()
    with pytest.raises(ServerError, match="no valid token") as caught:
        connect({"token": "secret"}, token="guess").status()
    assert caught.value.status == 401


def test_a_body_that_is_too_large_is_told(connect: Callable[..., Client]) -> None:
    client = connect({"limits": Limits(body_bytes=1000)})
    with pytest.raises(ServerError, match="larger than 1,000 bytes") as caught:
        client.embed([b"x" * 5_000_000])
    assert caught.value.status == 413


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again(
    fake: Fake, pauses: list[float], status: int
) -> None:
    busy = (status, {}, {"error": "later"})
    fake.script = [busy, busy, (200, {}, VERSIONS)]
    with Client(fake.url) as client:
        assert client.status() == [Version(1, "AVAILABLE")]
    assert len(fake.asked) == 3
    assert 0.1 <= pauses[0] <= 0.2 <= pauses[1] <= 0.4


def test_a_server_says_when_to_come_back(
    fake: Fake, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_800_000_000.0
    monkeypatch.setattr(time, "time", lambda: now)
    moment = email.utils.formatdate(now + 9, usegmt=True)
    fake.script = [
        (503, {"Retry-After": "7"}, {"error": "later"}),
        (429, {"Retry-After": moment}, {"error": "later"}),
        (200, {}, VERSIONS),
        (503, {"Retry-After": "3600"}, {"error": "later"}),
    ]
    with Client(fake.url) as client:
        assert client.status()
        assert pauses == [7, 9]
        with pytest.raises(ServerError, match="later") as caught:
            client.status()
    assert caught.value.retry_after == 3600


def test_a_lost_connection_is_made_again(fake: Fake, pauses: list[float]) -> None:
    fake.script = [None, None, (200, {}, VERSIONS)]
    with Client(fake.url) as client:
        assert client.status()
    assert len(pauses) == 2


def test_a_connection_closed_while_idle_costs_no_pause(
    fake: Fake, pauses: list[float]
) -> None:
    fake.script = [(200, {}, VERSIONS), None, (200, {}, VERSIONS)]
    with Client(fake.url, retries=0) as client:
        assert client.status()
        assert client.status()
    assert pauses == []


def test_it_gives_up_after_the_retries(fake: Fake, pauses: list[float]) -> None:
    fake.script = [(503, {}, {"error": "later"})] * 3
    with (
        Client(fake.url, retries=2) as client,
        pytest.raises(ServerError, match=r"later \(HTTP 503\)"),
    ):
        client.status()
    assert len(pauses) == 2
    assert fake.script == []


@pytest.mark.parametrize("status", [400, 404, 500, 504])
def test_other_errors_are_not_asked_again(
    fake: Fake, pauses: list[float], status: int
) -> None:
    fake.script = [(status, {}, {"error": "no"})]
    with Client(fake.url) as client, pytest.raises(ServerError, match="no") as caught:
        client.status()
    assert caught.value.status == status
    assert pauses == []


def test_nobody_listening_is_told(pauses: list[float]) -> None:
    with (
        Client("http://127.0.0.1:1", retries=1) as client,
        pytest.raises(ServerError, match=r"cannot be reached: .*refused") as caught,
    ):
        client.status()
    assert caught.value.status is None
    assert len(pauses) == 1


def test_silence_is_not_waited_for_without_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with (
            Client(url, timeout=0.1) as client,
            pytest.raises(ServerError, match=r"did not answer within 0\.1 seconds"),
        ):
            client.status()


def test_a_certificate_is_checked_against_those_trusted(
    serve: Callable[..., Served],
    live: Callable[..., Live],
    tmp_path: Path,
    pauses: list[float],
) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-keyout", str(key), "-out", str(cert), "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(command, check=True, capture_output=True)
    port = live(serve(), ssl_certfile=cert, ssl_keyfile=key).port
    url = f"https://127.0.0.1:{port}"
    with Client(url, ca_file=str(cert)) as client:
        assert client.status() == [Version(1, "AVAILABLE")]
    with Client(url) as client, pytest.raises(ServerError, match="certificate"):
        client.status()
    assert pauses == []


@pytest.mark.parametrize("answer", [b"<html>sign in</html>", {"other": 1}, [1]])
def test_what_is_no_answer_is_told(fake: Fake, answer: Any) -> None:
    fake.script = [(200, {}, answer)]
    with (
        Client(fake.url) as client,
        pytest.raises(ServerError, match="something else than JSON"),
    ):
        client.status()


def test_an_error_of_a_proxy_is_told_in_its_words(fake: Fake) -> None:
    fake.script = [(502, {}, b"<h1>Bad\n Gateway</h1>")]
    with (
        Client(fake.url) as client,
        pytest.raises(ServerError, match=r"<h1>Bad Gateway</h1> \(HTTP 502\)"),
    ):
        client.status()


def test_names_are_quoted_and_a_folder_of_a_proxy_is_kept(fake: Fake) -> None:
    fake.script = [(200, {}, {"hits": []})]
    with Client(f"{fake.url}/deep/", token="t") as client:
        assert client.search("a/b c", record_id="é") == []
    assert fake.asked == [
        ("POST", "/deep/v1/collections/a%2Fb%20c:search", {"id": "é", "k": 10})
    ]
    assert fake.headers[0]["Authorization"] == "Bearer t"


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("localhost:8501", {}),
        ("ftp://localhost", {}),
        ("http://localhost", {"batch_size": 0}),
        ("http://localhost", {"retries": -1}),
        ("http://localhost", {"timeout": 0}),
    ],
)
def test_wrong_settings_are_refused(url: str, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="received"):
        Client(url, **options)


def test_the_file_works_alone(tmp_path: Path) -> None:
    shutil.copy(client_module.__file__, tmp_path / "copied.py")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import copied; "
        "copied.Client().close(); "
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    command = [sys.executable, "-I", "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    site = {"__main__", "copied", "numpy"}
    others = loaded - site - sys.stdlib_module_names
    assert not others & {"tensorflow", "httpx", "serving", "dce_tf", "starlette"}
