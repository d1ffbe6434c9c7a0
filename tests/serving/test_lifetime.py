import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from dce_tf.serving.http.connections import PatientProtocol
from dce_tf.serving.limits import Limits
from tests.serving.conftest import GatedServable, Live, Served, b64, picture
from tests.waiting import until

BODY = json.dumps({"signature_name": "echo", "instances": [1.0]}).encode()
REQUEST = (
    b"POST /v1/models/embedder:predict HTTP/1.1\r\nHost: localhost\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(BODY)
)


def answered(raw: bytes) -> tuple[int, dict[str, str]]:
    """Returns status and JSON of one answer."""
    header, _, body = raw.partition(b"\r\n\r\n")
    return int(header.split()[1]), json.loads(body)


def takes_connections(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 60).close()
    except ConnectionError:
        return False
    return True


def test_a_request_over_the_network_is_answered(
    serve: Callable[..., Served], live: Callable[..., Live]
) -> None:
    status, answer = answered(live(serve()).say(REQUEST, BODY))
    assert status == 200
    assert answer == {"predictions": [{"version": 1.0, "y": 1.0}]}


def test_a_connection_of_http_1_0_is_kept_for_who_asks_for_that(
    serve: Callable[..., Served], live: Callable[..., Live]
) -> None:
    running = live(serve())
    once = b"POST /v1/models/embedder:predict HTTP/1.0\r\nHost: localhost\r\n"
    length = b"Content-Length: %d\r\n\r\n" % len(BODY)
    kept = once + b"Connection: Keep-Alive\r\n" + length + BODY
    first, second, third = running.say(kept, kept, once + length + BODY).split(
        b"HTTP/1.1 200 OK\r\n"
    )[1:]
    for answer in (first, second):
        assert b"\r\nconnection: keep-alive\r\n" in b"\r\n" + answer
        assert b"transfer-encoding" not in answer
    assert b"connection: close\r\n" in third
    assert running.say(once + length + BODY, kept).count(b"HTTP/1.1 200 OK") == 1


def test_requests_under_way_are_answered_before_the_end(
    serve: Callable[..., Served], live: Callable[..., Live]
) -> None:
    served = serve(load=GatedServable)
    running = live(served)
    servable = served.servable()
    while servable.running.acquire(blocking=False):
        pass  # Warm-up requests.
    servable.gate.clear()
    url = f"http://127.0.0.1:{running.port}"
    answers: list[httpx.Response] = []
    with httpx.Client(base_url=url) as client:
        assert client.get("/readyz").status_code == 200

        def ask() -> None:
            answers.append(client.post("/v1/models/embedder:predict", content=BODY))

        asking = threading.Thread(target=ask)
        asking.start()
        assert servable.running.acquire(timeout=60)
        running.server._lame_duck_seconds = 600
        running.end()
        assert httpx.get(f"{url}/readyz").status_code == 503
        running.server._closes_at = 0.0  # As if that time had passed.
        until(lambda: not takes_connections(running.port))
        assert running.thread.is_alive()
        servable.gate.set()
        asking.join(60)
    assert answers[0].json() == {"predictions": [{"version": 1.0, "y": 1.0}]}
    running.thread.join(60)
    assert not running.thread.is_alive()


def test_the_end_does_not_wait_longer_than_it_may(
    serve: Callable[..., Served], live: Callable[..., Live]
) -> None:
    served = serve(load=GatedServable)
    running = live(served, drain_seconds=0.3)
    gate = served.servable().gate
    gate.clear()
    asking = threading.Thread(target=running.say, args=(REQUEST, BODY))
    asking.start()
    until(lambda: served.batcher.queued or running.server.server_state.tasks)
    running.end()
    running.thread.join(60)
    assert not running.thread.is_alive()
    gate.set()
    asking.join(60)


def test_ctrl_c_leaves_out_the_wait_for_others(
    serve: Callable[..., Served], live: Callable[..., Live]
) -> None:
    running = live(serve())
    assert running.say(REQUEST, BODY)
    running.server._lame_duck_seconds = 600
    running.close()


def test_what_is_no_http_is_refused(
    serve: Callable[..., Served], live: Callable[..., Live]
) -> None:
    running = live(serve())
    for garbage in (b"\0\1\2\3\r\n\r\n", b"NONSENSE\r\n\r\n"):
        status, answer = answered(running.say(garbage))
        assert status == 400
        assert answer == {"error": "Invalid HTTP request received."}
    assert answered(running.say(REQUEST, BODY))[0] == 200


def test_a_header_that_does_not_end_is_given_up(
    serve: Callable[..., Served],
    live: Callable[..., Live],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(PatientProtocol, "header_seconds", 0.3)
    running = live(serve(), timeout_keep_alive=1)
    for start in ((), (b"POST /v1/mod",), (REQUEST[:60],)):
        status, answer = answered(running.say(*start))
        assert status == 408
        assert answer == {"error": "No request came within 0.3 seconds."}
    keep = REQUEST.replace(b"Connection: close\r\n", b"") + BODY
    with socket.create_connection(("127.0.0.1", running.port), 60) as spoken:
        spoken.sendall(keep)
        received = b""
        while not received.endswith(b"]}"):
            received += spoken.recv(65536)
        assert received.startswith(b"HTTP/1.1 200 ")
        spoken.sendall(REQUEST[:60])
        assert spoken.recv(65536).startswith(b"HTTP/1.1 408 ")
        assert spoken.recv(65536) == b""


def test_a_header_without_end_is_refused(
    serve: Callable[..., Served], live: Callable[..., Live]
) -> None:
    running = live(serve())
    line = b"X-Filler: " + b"x" * 1000 + b"\r\n"
    raw = running.say(b"GET / HTTP/1.1\r\n" + line * 80)
    assert int(raw.split()[1]) in (400, 431)
    assert answered(running.say(REQUEST, BODY))[0] == 200


LARGE = 4_000_000  # Bytes; more than lies on the way, so that someone must read them.


def large(path: bytes = b"/v1/models/embedder:predict") -> bytes:
    start = b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
    return start % (path, LARGE) + b" " * LARGE


@pytest.mark.parametrize("refused", [413, 401, 400])
def test_who_sends_all_before_listening_hears_why_it_was_refused(
    refused: int, serve: Callable[..., Served], live: Callable[..., Live]
) -> None:
    token = "secret" if refused == 401 else None
    running = live(serve(limits=Limits(body_bytes=10_000), token=token))
    request = b"NONSENSE\r\n\r\n" + b" " * LARGE if refused == 400 else large()
    with socket.create_connection(("127.0.0.1", running.port), 60) as spoken:
        spoken.sendall(request)
        time.sleep(0.2)  # What is reset arrives, and takes with it what was here.
        received = b""
        while chunk := spoken.recv(65536):
            received += chunk
    status, answer = answered(received)
    assert status == refused
    assert answer["error"]


def test_who_never_stops_speaking_is_cut_off(
    serve: Callable[..., Served],
    live: Callable[..., Live],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(PatientProtocol, "linger_seconds", 0.3)
    running = live(serve(limits=Limits(body_bytes=10_000)))
    with socket.create_connection(("127.0.0.1", running.port), 60) as spoken:

        def go_on() -> None:
            for _ in range(1000):
                spoken.sendall(b" ")
                time.sleep(0.01)

        spoken.sendall(large()[:20_000])
        assert spoken.recv(65536).startswith(b"HTTP/1.1 413 ")
        with pytest.raises(ConnectionError):
            go_on()


def test_the_end_does_not_wait_for_who_was_refused(
    serve: Callable[..., Served], live: Callable[..., Live]
) -> None:
    running = live(serve(limits=Limits(body_bytes=10_000)), drain_seconds=600)
    with socket.create_connection(("127.0.0.1", running.port), 60) as spoken:
        spoken.sendall(large()[:20_000])
        assert spoken.recv(65536).startswith(b"HTTP/1.1 413 ")
        running.end()
        running.thread.join(60)
        assert not running.thread.is_alive()


def test_a_client_that_leaves_in_the_middle_does_no_harm(
    serve: Callable[..., Served], live: Callable[..., Live]
) -> None:
    running = live(serve())
    for length in (10, len(REQUEST) - 1, len(REQUEST), len(REQUEST) + 5):
        with socket.create_connection(("127.0.0.1", running.port)) as left:
            left.sendall((REQUEST + BODY)[:length])
    assert answered(running.say(REQUEST, BODY))[0] == 200
    state = running.server.server_state
    until(lambda: not state.connections and not state.tasks)


COUNT = 150_000
MANY = b'{"signature_name": "echo", "instances": [' + b"1.5," * COUNT + b"1.5]}"
ROOMY = {  # For answers of 4 MB; the system itself takes as much of one.
    "limits": Limits(body_bytes=2**20, json_values=2 * COUNT, records=2 * COUNT),
    "max_batch_size": 2 * COUNT,
}
ASK_MUCH = (
    b"POST /v1/models/embedder:predict HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Length: %d\r\n\r\n" % len(MANY)
) + MANY


@pytest.fixture
def slow_reader() -> Iterator[Callable[[Live], socket.socket]]:
    """Opens connections whose clients hold little of an answer."""
    opened = []

    def connect(running: Live) -> socket.socket:
        spoken = socket.socket()
        opened.append(spoken)
        spoken.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        spoken.connect(("127.0.0.1", running.port))
        spoken.settimeout(60)
        return spoken

    yield connect
    for each in opened:
        each.close()


@pytest.mark.slow
def test_who_does_not_take_an_answer_is_cut_off(
    serve: Callable[..., Served],
    live: Callable[..., Live],
    slow_reader: Callable[[Live], socket.socket],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(PatientProtocol, "send_seconds", 0.5)
    running = live(serve(**ROOMY))
    connections = running.server.server_state.connections
    spoken = [slow_reader(running) for _ in range(3)]
    for each in spoken:
        each.sendall(ASK_MUCH * 3)
    until(lambda: len(connections) == 3)
    most = 0

    def all_gone() -> bool:
        nonlocal most
        unsent = [each.transport.get_write_buffer_size() for each in [*connections]]
        most = max(most, *unsent, 0)
        return not connections and not running.server.server_state.tasks

    until(all_gone)
    assert 0 < most < 200_000
    assert answered(running.say(REQUEST, BODY))[0] == 200


@pytest.mark.slow
def test_who_takes_an_answer_slowly_gets_all_of_it(
    serve: Callable[..., Served],
    live: Callable[..., Live],
    slow_reader: Callable[[Live], socket.socket],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(PatientProtocol, "send_seconds", 2)
    running = live(serve(**ROOMY))
    spoken = slow_reader(running)
    spoken.sendall(ASK_MUCH.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
    received = b""
    while chunk := spoken.recv(65536):
        received += chunk
        time.sleep(0.002)
    predictions = answered(received)[1]["predictions"]
    assert predictions == [{"version": 1.0, "y": 1.5}] * (COUNT + 1)


@pytest.mark.slow
def test_answers_that_nobody_takes_count_until_there_is_no_room(
    serve: Callable[..., Served],
    live: Callable[..., Live],
    slow_reader: Callable[[Live], socket.socket],
) -> None:
    running = live(serve(**ROOMY))
    statuses: list[int] = []
    while 503 not in statuses:
        assert len(statuses) < 30
        spoken = slow_reader(running)
        spoken.sendall(ASK_MUCH)
        # What it sent is read, and little of its answer taken.
        statuses.append(int(spoken.recv(40).split()[1]))
    assert statuses[0] == 200
    assert set(statuses) == {200, 503}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-keyout", str(key), "-out", str(cert), "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run(command, check=True, capture_output=True)
    return cert, key


def test_https(
    serve: Callable[..., Served],
    live: Callable[..., Live],
    certificate: tuple[Path, Path],
) -> None:
    cert, key = certificate
    running = live(serve(), ssl_certfile=cert, ssl_keyfile=key)
    context = ssl.create_default_context(cafile=str(cert))
    url = f"https://127.0.0.1:{running.port}/v1/models/embedder:predict"
    body = {"instances": [b64(picture())]}
    assert httpx.post(url, json=body, verify=context).status_code == 200
    with pytest.raises(httpx.ConnectError):
        httpx.post(url, json=body)
