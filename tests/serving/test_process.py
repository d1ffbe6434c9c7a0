"""The command itself, as a process that is loaded, stopped and killed."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import httpx
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from benchmarks.postgres_server import PostgresServer
from dce_tf.export.fingerprint import fingerprint
from dce_tf.index import build_collection, open_collection
from dce_tf.index.postgres.address import Address
from dce_tf.index.postgres.building import build_postgres
from tests.serving.conftest import DIM, publish
from tests.waiting import until

ROOT = Path(__file__).parents[2]
ECHO = {"signature_name": "echo", "instances": [1.0]}
PREDICT = "/v1/models/embedder:predict"


class Process:
    """`python main.py serve …` in an environment of its own."""

    def __init__(self, log: Path, *words: str, token: str | None = None) -> None:
        environment = {**os.environ, **({"DCE_TF_TOKEN": token} if token else {})}
        self.log = log
        with log.open("wb") as output:
            self.popen = subprocess.Popen(
                [sys.executable, "main.py", "serve", *words, "--port=0"],
                cwd=ROOT,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.url = self.wait_for(r"(https?://\S+)/")

    def wait_for(self, pattern: str) -> str:
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline:
            found = re.search(pattern, self.log.read_text())
            if found:
                return found[1]
            assert self.popen.poll() is None, self.log.read_text()
            time.sleep(0.05)
        raise AssertionError(self.log.read_text())

    def end(self, number: int) -> int:
        self.popen.send_signal(number)
        return self.popen.wait(60)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    running: list[Process] = []

    def begin(*words: str, **options: str) -> Process:
        log = tmp_path / f"{len(running)}.log"
        running.append(Process(log, *words, **options))
        return running[-1]

    yield begin
    for process in running:
        process.popen.kill()
        process.popen.wait()


@pytest.mark.slow
def test_a_server_rolls_versions_under_load_and_ends_without_a_lost_request(
    start: Callable[..., Process], tiny_versions: Path, model_folder: Path
) -> None:
    process = start(
        str(model_folder),
        "--poll_seconds=0.05",
        "--grpc_port=0",
        "--lame_duck_seconds=0.2",
        token="secret",
    )
    headers = {"Authorization": "Bearer secret"}
    answers: list[tuple[int, float | None]] = []
    ended = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=process.url, headers=headers, timeout=60) as client:
            while not ended.is_set():
                try:
                    answer = client.post(PREDICT, json=ECHO)
                except httpx.TransportError:
                    assert ended.wait(60), "the connection broke before the end"
                    return
                version = answer.json()["predictions"][0]["version"]
                answers.append((answer.status_code, version))

    askers = [threading.Thread(target=ask) for _ in range(4)]
    for asker in askers:
        asker.start()
    until(lambda: len(answers) > 0)
    publish(tiny_versions, model_folder, 2)
    process.wait_for("(Version 2 of embedder is available)")
    until(lambda: {version for _, version in answers[-4:]} == {2.0})
    assert {status for status, _ in answers} == {200}
    assert {version for _, version in answers} == {1.0, 2.0}
    assert httpx.get(f"{process.url}/metrics").status_code == 401

    port = process.wait_for(r"gRPC: 127\.0\.0\.1:(\d+)")
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "embedder"
    request.model_spec.signature_name = "echo"
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(np.float32([5])))
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        metadata = [("authorization", "Bearer secret")]
        answer = stub.Predict(request, timeout=60, metadata=metadata)
    assert answer.model_spec.version.value == 2

    process.popen.send_signal(signal.SIGTERM)
    ended.set()
    for asker in askers:
        asker.join(60)
    assert {status for status, _ in answers} == {200}
    assert process.popen.wait(60) == 0
    assert "Traceback" not in process.log.read_text()


@pytest.mark.slow
def test_log_in_json_tells_a_life_from_start_to_end(
    start: Callable[..., Process], model_folder: Path
) -> None:
    process = start(str(model_folder), "--log_format=json", "--grpc_port=0")
    headers = {"X-Request-ID": "mine"}
    assert httpx.post(process.url + PREDICT, json=ECHO, headers=headers).is_success
    assert process.end(signal.SIGTERM) == 0
    # TensorFlow's own lines of C++ stand between ours.
    lines = process.log.read_text().splitlines()
    told = [json.loads(line) for line in lines if not re.match(r"[IWE]\d{4} ", line)]
    messages = [line["message"] for line in told]
    patterns = (
        "Version 1 of embedder is available.",
        r"embedder, version 1: http://127.0.0.1:\d+/",
        r"gRPC: 127.0.0.1:\d+",
        f"POST {PREDICT} 200",
        r"Told to end: requests are taken for [\d.]+ s more.",
        "Ended.",
    )
    assert len(messages) == len(patterns), messages
    for message, pattern in zip(messages, patterns, strict=True):
        assert re.fullmatch(pattern, message)
    assert told[3]["request_id"] == "mine"


@pytest.mark.slow
def test_no_write_that_was_answered_is_lost_when_the_server_is_killed(
    start: Callable[..., Process], model_folder: Path, tmp_path: Path
) -> None:
    index = tmp_path / "things"
    model = fingerprint(model_folder / "1")
    build_collection(index, [[]], fingerprint=model, embedding_dim=DIM)
    acknowledged: set[int] = set()
    unit = np.eye(DIM)
    for life in range(2):
        process = start(str(model_folder), f"--index={index}")
        url = f"{process.url}/v1/collections/things"
        with httpx.Client(timeout=60) as client:
            known = client.get(url).json()
            assert known["count"] >= len(acknowledged)
            killer = threading.Timer(0.5, process.popen.kill)
            number = first = life * 10**6
            while True:
                records = [
                    {"id": number + n, "vector": unit[n % DIM].tolist()}
                    for n in range(5)
                ]
                try:
                    answer = client.post(f"{url}:upsert", json={"records": records})
                except httpx.TransportError:
                    break
                assert answer.json() == {"upserted": 5}
                acknowledged |= {record["id"] for record in records}
                number += 5
                if number == first + 15:
                    killer.start()
        assert process.popen.wait(60) == -signal.SIGKILL
    assert len(acknowledged) >= 30
    collection = open_collection(str(index))
    found = collection.get(sorted(acknowledged))
    assert all(record is not None for record in found)
    assert len(collection) % 5 == 0, "a request was stored by half"
    collection.close()


@pytest.mark.slow
def test_an_index_of_another_model_is_refused_with_both_fingerprints(
    model_folder: Path, tmp_path: Path
) -> None:
    index = tmp_path / "things"
    build_collection(index, [[]], fingerprint="ab" * 32, embedding_dim=DIM)
    command = [sys.executable, "main.py", "serve", str(model_folder), "--port=0"]
    done = subprocess.run(
        [*command, f"--index={index}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 1
    assert "ab" * 32 in done.stderr
    assert fingerprint(model_folder / "1") in done.stderr
    assert "python main.py index" in done.stderr


@pytest.mark.slow
def test_a_server_makes_what_browsers_embed_with_at_start(
    start: Callable[..., Process], model_folder: Path, tmp_path: Path
) -> None:
    index = tmp_path / "things"
    model = fingerprint(model_folder / "1")
    build_collection(index, [[]], fingerprint=model, embedding_dim=DIM)
    process = start(str(model_folder), f"--index={index}", "--browser_model")
    url = f"{process.url}/v1/collections/things"
    assert httpx.get(url).json()["browser_model"]["bytes"] > 0
    answer = httpx.get(f"{url}/browser_model", params={"fingerprint": model})
    assert answer.status_code == 200
    assert "Version 1 is ready for browsers" in process.log.read_text()
    assert process.end(signal.SIGTERM) == 0


@pytest.mark.slow
def test_servers_share_a_collection_in_postgres_and_outlive_its_end(
    start: Callable[..., Process],
    model_folder: Path,
    own_postgres_server: PostgresServer,
) -> None:
    secret = f"postgres:{own_postgres_server.PASSWORD}@"
    dsn = own_postgres_server.dsn.replace("postgres@", secret)
    model, where = fingerprint(model_folder / "1"), f"postgres:{dsn}#things"
    build_postgres(Address.parse(where), [], fingerprint=model, embedding_dim=DIM)
    processes = [start(str(model_folder), f"--index={where}") for _ in range(2)]
    unit = np.eye(DIM)
    with httpx.Client(timeout=60) as client:

        def call(server: int, action: str, **body: object) -> httpx.Response:
            url = f"{processes[server].url}/v1/collections/things:{action}"
            return client.post(url, json=body)

        def store(server: int, name: int) -> httpx.Response:
            entry = {"id": name, "vector": unit[name % DIM].tolist(), "label": "x"}
            return call(server, "upsert", records=[entry])

        def found(server: int) -> list[int]:
            body = {"vector": unit[0].tolist(), "k": 99, "filter": {"label": "x"}}
            answer = call(server, "search", **body)
            assert answer.status_code == 200
            return sorted(hit["id"] for hit in answer.json()["hits"])

        for name in range(10):
            assert store(name % 2, name).json() == {"upserted": 1}
            assert found((name + 1) % 2) == [*range(name + 1)]
        assert call(0, "delete", ids=[3, 4]).json() == {"deleted": 2}
        assert found(1) == [0, 1, 2, 5, 6, 7, 8, 9]

        own_postgres_server.kill()
        for server in range(2):
            answer = store(server, 20)
            assert answer.status_code == 503
            assert "the log says why" in answer.text
        own_postgres_server.start()
        assert found(0) == found(1) == [0, 1, 2, 5, 6, 7, 8, 9]
        assert store(0, 3).json() == {"upserted": 1}
        assert 3 in found(1)
    for process in processes:
        log = process.log.read_text()
        # A connection still open may hear of the end before it is closed.
        assert "cannot be reached" in log or "terminating connection" in log
        assert own_postgres_server.PASSWORD not in log
        assert "Traceback" not in log
