"""The server against the bare call of the SavedModel it serves.

    python -m benchmarks.serving [--source RUN] [--clients 1 4 16] [--seconds 10]
        [--rounds 3] [--requests 10000]

The server is a process, the load another one on the loopback: each client sends one
JPEG of 640 × 480 after the other, in JSON or as it is: both take turns, and their ratio
is the median of the rounds. On few cores the load takes processor time from the
server, so the share of the bare call is also given with that time counted out: as if
the server had had the rest of the cores for itself. The last columns have the processor
time of a request, and the bare call's as a share of it, which other load hardly moves.

Without `--source` an untrained network of four convolutions at 128 pixels is served.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import io
import json
import multiprocessing
import os
import re
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter
from rich.table import Table

from benchmarks.timing import print_machine

ROOT = Path(__file__).parents[1]
BATCH_SIZES = (1, 8, 16, 32, 64)
IMAGE_SIZE = 128
EMBEDDING_DIM = 128
WARM_UP_REQUESTS = 50
PREDICT = "/v1/models/embedder:predict"


def draw_jpeg(seed: int = 0) -> bytes:
    """Returns a JPEG of 640 × 480 that has about the bytes of a photograph."""
    noise = np.random.default_rng(seed).integers(0, 256, (480, 640, 3))
    picture = Image.fromarray(noise.astype(np.uint8))
    buffer = io.BytesIO()
    picture.filter(ImageFilter.GaussianBlur(2)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def request_for(path: str, body: bytes, kind: str = "application/json") -> bytes:
    """Returns what a client sends."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def requests_of_one_image() -> dict[str, bytes]:
    """Returns what a client sends for an image, by how it carries that."""
    jpeg = draw_jpeg()
    body = json.dumps(predict_body([jpeg])).encode()
    return {
        "JSON": request_for(PREDICT, body),
        "as it is": request_for(PREDICT, jpeg, "image/jpeg"),
    }


def export_untrained(folder: Path) -> Path:
    """Writes a SavedModel to serve."""
    from dce_tf.export import export_saved_model
    from dce_tf.network.backbones import build_backbone
    from dce_tf.network.layers import DivideConquerEmbedding
    from dce_tf.network.model import EmbeddingModel

    layer = DivideConquerEmbedding(EMBEDDING_DIM)
    model = EmbeddingModel(build_backbone("small"), layer)
    model.build((None, IMAGE_SIZE, IMAGE_SIZE, 3))
    export_saved_model(model, IMAGE_SIZE, folder)
    return folder


def measure_bare(source: Path, seconds: float) -> dict[str, Any]:
    """Returns the images per second of the SavedModel itself.

    Args:
        source: What is served.
        seconds: How long to call each batch size.

    Returns:
        `rates`, by batch size, and milliseconds per image: `whole`, `network` (without
        decoding) and `cpu` (processor time of the whole), at the best batch size.
    """
    import tensorflow as tf

    from dce_tf.export import resolve_version

    model = tf.saved_model.load(str(resolve_version(source)))
    encoded, decoded = (
        model.signatures[name] for name in ("serving_default", "serve_tensor")
    )
    shape = decoded.structured_input_signature[1]["images"].shape[1:]
    jpeg = draw_jpeg()

    def rate(call: Callable[[], Any], size: int) -> float:
        call()
        calls, started = 0, time.perf_counter()
        while time.perf_counter() - started < seconds:
            call()
            calls += 1
        return size * calls / (time.perf_counter() - started)

    def embed(size: int) -> Any:
        return encoded(image_bytes=tf.constant([jpeg] * size))["embedding"].numpy()

    rates = {size: rate(lambda s=size: embed(s), size) for size in BATCH_SIZES}
    best = max(rates, key=rates.__getitem__)
    before = cpu_seconds()
    rounds = max(2, round(seconds * rates[best] / best))
    for _ in range(rounds):
        embed(best)
    cpu = (cpu_seconds() - before) / (rounds * best)
    images = tf.zeros((best, *shape))
    network = rate(lambda: decoded(images=images)["embedding"].numpy(), best)
    return {
        "rates": rates,
        "whole": 1e3 / rates[best],
        "network": 1e3 / network,
        "cpu": 1e3 * cpu,
    }


def measure_json() -> float:
    """Returns milliseconds that reading a request and writing its answer take."""
    import tensorflow as tf

    from dce_tf.serving.http.json_results import write_rows
    from dce_tf.serving.http.json_tensors import read_rows
    from dce_tf.serving.http.json_text import parse
    from dce_tf.serving.model.signatures import TensorSpec

    body = json.dumps(predict_body([draw_jpeg()])).encode()
    inputs = {"image_bytes": TensorSpec(tf.string, (-1,))}
    outputs = {"embedding": np.random.default_rng(0).normal(size=(1, EMBEDDING_DIM))}
    outputs = {name: value.astype(np.float32) for name, value in outputs.items()}
    rounds, started = 500, time.perf_counter()
    for _ in range(rounds):
        read_rows(parse(body)["instances"], inputs)
        write_rows(outputs)
    return 1e3 * (time.perf_counter() - started) / rounds


def predict_body(images: Sequence[bytes]) -> dict[str, Any]:
    """Returns a request in row form."""
    return {"instances": [{"b64": base64.b64encode(each).decode()} for each in images]}


def load(port: int, request: bytes, clients: int, seconds: float) -> dict[str, Any]:
    """Sends requests from several clients, each one after the other.

    Returns:
        `latencies` of all requests and `elapsed`, in seconds, and `cpu`, the processor
        time this took here.
    """
    latencies: list[list[float]] = [[] for _ in range(clients)]
    ready = threading.Barrier(clients + 1)
    ends = [0.0]

    def ask(mine: list[float]) -> None:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            ready.wait()
            while (started := time.perf_counter()) < ends[0]:
                exchange(connection, request)
                mine.append(time.perf_counter() - started)

    threads = [threading.Thread(target=ask, args=(each,)) for each in latencies]
    for thread in threads:
        thread.start()
    before, started = cpu_seconds(), time.perf_counter()
    ends[0] = started + seconds
    ready.wait()
    for thread in threads:
        thread.join()
    return {
        "latencies": [each for mine in latencies for each in mine],
        "elapsed": time.perf_counter() - started,
        "cpu": cpu_seconds() - before,
    }


def cpu_seconds() -> float:
    """Returns the processor time of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def exchange(connection: socket.socket, request: bytes) -> bytes:
    """Sends a request and returns the body of its answer, which must be 200."""
    connection.sendall(request)
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    found = re.search(rb"content-length: (\d+)", head.lower())
    if not head.startswith(b"HTTP/1.1 200 ") or found is None:
        raise RuntimeError(f"The server answered {received[:500]!r}.")
    while len(body) < int(found[1]):
        body += connection.recv(65536)
    return body


@contextlib.contextmanager
def running_server(source: Path, *flags: str) -> Iterator[tuple[int, int]]:
    """Starts `serve`; gives its port and process."""
    command = [sys.executable, "main.py", "serve", str(source), "--port=0", *flags]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            line = server.stdout.readline() if server.stdout else ""
            found = re.search(r":(\d+)/", line)
            if found is None:
                raise RuntimeError(f"The server did not start: {line!r}")
            yield int(found[1]), server.pid
        finally:
            server.send_signal(signal.SIGINT)


def apart(function: Callable[..., Any], *args: Any) -> Any:
    """Calls a function in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, args)


def cpu_of(process: int) -> float:
    """Returns the processor time of another process so far, in seconds."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def load_server(
    port: int, process: int, request: bytes, clients: int, seconds: float
) -> dict[str, Any]:
    """Loads a server, as `load` does; `server_cpu` is the processor time it took."""
    before = cpu_of(process)
    outcome: dict[str, Any] = apart(load, port, request, clients, seconds)
    return outcome | {"server_cpu": cpu_of(process) - before}


def memory_mb(process: int) -> float:
    """Returns the memory that a process holds."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def send_many(port: int, process: int, request: bytes, count: int) -> list[float]:
    """Sends a number of requests; returns the memory of the server after each tenth."""
    memory = []
    tenth = max(1, count // 10)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        for _ in range(10):
            pool.apply(send_some, (port, request, tenth))
            memory.append(memory_mb(process))
    return memory


def send_some(port: int, request: bytes, count: int) -> None:
    """Sends a number of requests from four clients."""

    def send(number: int) -> None:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            for _ in range(number):
                exchange(connection, request)

    threads = [threading.Thread(target=send, args=(count // 4,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def load_in_turn(
    port: int,
    process: int,
    requests: dict[str, bytes],
    clients: Sequence[int],
    seconds: float,
    rounds: int,
) -> dict[tuple[int, str], list[dict[str, Any]]]:
    """Loads a server with each kind of request in turn.

    Returns:
        What `load_server` returned in each round, by clients and kind.
    """
    outcomes: dict[tuple[int, str], list[dict[str, Any]]] = {}
    for _ in range(rounds):
        for number in clients:
            for kind, request in requests.items():
                outcome = load_server(port, process, request, number, seconds)
                outcomes.setdefault((number, kind), []).append(outcome)
    return outcomes


def together(rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Returns the outcomes of several rounds as one."""
    sums = ("elapsed", "cpu", "server_cpu")
    return {name: sum(each[name] for each in rounds) for name in sums} | {
        "latencies": [second for each in rounds for second in each["latencies"]]
    }


def print_ratios(outcomes: dict[tuple[int, str], list[dict[str, Any]]]) -> None:
    """Prints what sending images as they are gains over JSON, round by round."""
    table = Table(title="An image as it is, against JSON")
    for column in ("clients", "requests/s", "p50", "processor of the server"):
        table.add_column(column, justify="right")
    for clients in dict.fromkeys(number for number, _ in outcomes):
        ratios = []
        for raw, plain in zip(
            outcomes[clients, "as it is"], outcomes[clients, "JSON"], strict=True
        ):
            counts = len(raw["latencies"]), len(plain["latencies"])
            rates = counts[0] / raw["elapsed"], counts[1] / plain["elapsed"]
            middles = [statistics.median(each["latencies"]) for each in (raw, plain)]
            spent = raw["server_cpu"] / counts[0], plain["server_cpu"] / counts[1]
            pairs = (rates, middles, spent)
            ratios.append([first / second for first, second in pairs])
        medians = [statistics.median(each) for each in zip(*ratios, strict=True)]
        table.add_row(str(clients), *(f"× {each:.2f}" for each in medians))
    print_machine(table)


def print_load(
    outcomes: dict[tuple[int, str], dict[str, Any]], bare: dict[str, Any]
) -> None:
    """Prints the table of clients."""
    best = max(bare["rates"].values())
    table = Table(title=f"Requests of one image; bare call: {best:.0f} images/s")
    for column in (
        "clients",
        "image",
        "requests/s",
        "p50 ms",
        "p99 ms",
        "share",
        "load counted out",
        "processor ms",
        "share of it",
    ):
        table.add_column(column, justify="right")
    for (clients, kind), outcome in outcomes.items():
        latencies = sorted(1e3 * each for each in outcome["latencies"])
        count, elapsed = len(latencies), outcome["elapsed"]
        own = elapsed - outcome["cpu"] / (os.cpu_count() or 1)
        table.add_row(
            str(clients),
            kind,
            f"{count / elapsed:.0f}",
            f"{statistics.median(latencies):.1f}",
            f"{latencies[int(0.99 * (count - 1))]:.1f}",
            f"{count / elapsed / best:.2f}",
            f"{count / own / best:.2f}",
            f"{1e3 * outcome['server_cpu'] / count:.2f}",
            f"{bare['cpu'] * count / (1e3 * outcome['server_cpu']):.2f}",
        )
    print_machine(table)


def print_costs(bare: dict[str, Any], json_ms: float, http_ms: float) -> None:
    """Prints where the time of an image goes."""
    table = Table(title="Milliseconds per image")
    for column in (
        "model",
        "decode and crop",
        "JSON and base64",
        "HTTP and loopback",
    ):
        table.add_column(column, justify="right")
    costs = (bare["network"], bare["whole"] - bare["network"], json_ms, http_ms)
    table.add_row(*(f"{each:.2f}" for each in costs))
    rates = ", ".join(f"{size}: {rate:.0f}" for size, rate in bare["rates"].items())
    print_machine(table)
    print(f"Bare call, images/s by batch size: {rates}")


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path)
    parser.add_argument("--clients", nargs="+", type=int, default=[1, 4, 16])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--flags", nargs="*", default=[], help="further ones of serve")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = args.source or apart(export_untrained, Path(folder, "export"))
        bare = apart(measure_bare, source, args.seconds / 2)
        json_ms = apart(measure_json)
        requests = requests_of_one_image()
        with running_server(source, *args.flags) as (port, process):
            for request in requests.values():
                send_some(port, request, WARM_UP_REQUESTS)
            outcomes = load_in_turn(
                port, process, requests, args.clients, args.seconds, args.rounds
            )
            empty = request_for(PREDICT, json.dumps({"inputs": []}).encode())
            alone = apart(load, port, empty, 1, args.seconds / 2)["latencies"]
            request = requests["as it is"]
            memory = send_many(port, process, request, args.requests)
    print_load({key: together(each) for key, each in outcomes.items()}, bare)
    print_ratios(outcomes)
    print_costs(bare, json_ms, 1e3 * statistics.median(alone))
    print(
        f"Memory over {args.requests:,} requests, MB: "
        f"{', '.join(f'{each:.0f}' for each in memory)}"
    )


if __name__ == "__main__":
    main()
