"""What small requests that want large work do to everybody else.

    python -m benchmarks.hostile [--at_once 3] [--megabytes 60] [--only WORD …]

Each kind of `hostile_kinds` is sent to a server of its own process, several times at
once, beside a normal load of two clients that have one JPEG embedded after the other.
Meanwhile `/healthz` is asked twenty times a second, each time over a new connection,
and the memory of the server is looked at. Printed are the worst of each.

The last kind are clients that ask for much and take none of it.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import gzip
import http.client
import json
import multiprocessing
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from rich.table import Table

from benchmarks import serving
from benchmarks.hostile_kinds import KINDS, PREDICT, SEARCH, Hostile
from benchmarks.timing import print_machine

RECORDS = 2000
METADATA = 4000  # Letters of each record, so that a search has a large answer.
UNREAD = 100  # Connections whose clients take nothing.
_PAUSE = 0.05
_PATIENCE = 300.0


@dataclasses.dataclass
class Watch:
    """The worst that was seen.

    Attributes:
        health: Seconds until `/healthz` was answered.
        memory: Megabytes of the server, in use.
        load: Seconds until a request of the normal load was answered.
    """

    health: float = 0.0
    memory: float = 0.0
    load: float = 0.0


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a kind.

    Attributes:
        sent: Bytes of one request.
        statuses: How each was answered; 0 for a connection that broke.
        seconds: Until the last answer.
        watch: The worst meanwhile.
        added: Megabytes more than before, at most.
    """

    sent: int
    statuses: Sequence[int]
    seconds: float
    watch: Watch
    added: float


def make_collection(folder: Path, model: Path) -> Path:
    """Writes a collection to search in."""
    from dce_tf.export import resolve_version
    from dce_tf.export.fingerprint import fingerprint
    from dce_tf.index import Record, build_collection

    vectors = np.random.default_rng(0).normal(size=(RECORDS, serving.EMBEDDING_DIM))
    records = [
        Record(number, vector, metadata={"text": "x" * METADATA})
        for number, vector in enumerate(vectors.astype(np.float32))
    ]
    build_collection(
        folder,
        [records],
        fingerprint=fingerprint(resolve_version(model)),
        embedding_dim=serving.EMBEDDING_DIM,
    )
    return folder


def full_size(make: Callable[[int], Hostile], megabytes: float) -> int:
    """Returns the size that makes a body as long as it may be, unpacked."""
    sample = 1000
    hostile = make(sample)
    packed = hostile.headers.get("Content-Encoding") == "gzip"
    body = gzip.decompress(hostile.body) if packed else hostile.body
    return int(megabytes * 1e6 / max(1.0, len(body) / sample))


def send(port: int, hostile: Hostile) -> int:
    """Sends a request; returns the status of its answer, 0 if there is none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
    with contextlib.closing(connection):
        try:
            connection.request(
                "POST", hostile.path, hostile.body, dict(hostile.headers)
            )
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            return 0
        return answer.status


def send_all(port: int, hostile: Hostile, at_once: int) -> tuple[list[int], float]:
    """Sends a request several times at once, from a process of its own."""
    statuses: list[int] = []
    started = time.perf_counter()
    threads = [
        threading.Thread(target=lambda: statuses.append(send(port, hostile)))
        for _ in range(at_once)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses, time.perf_counter() - started


def take_nothing(port: int, seconds: float) -> None:
    """Asks for large answers and takes none of them."""
    body = json.dumps({"id": 0, "k": 1000}).encode()
    request = serving.request_for(SEARCH, body)
    opened = []
    for _ in range(UNREAD):
        spoken = socket.create_connection(("127.0.0.1", port), _PATIENCE)
        spoken.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        spoken.sendall(request * 4)
        opened.append(spoken)
    time.sleep(seconds)
    for spoken in opened:
        spoken.close()


@contextlib.contextmanager
def watching(port: int, process: int) -> Iterator[Watch]:
    """Watches a server while others speak to it."""
    watch, ended = Watch(), threading.Event()

    def ask_health() -> None:
        while not ended.is_set():
            started = time.perf_counter()
            _get(port, "/healthz")
            watch.health = max(watch.health, time.perf_counter() - started)
            ended.wait(_PAUSE)

    def look_at_memory() -> None:
        while not ended.wait(_PAUSE / 5):
            watch.memory = max(watch.memory, serving.memory_mb(process))

    threads = [threading.Thread(target=each) for each in (ask_health, look_at_memory)]
    for thread in threads:
        thread.start()
    try:
        yield watch
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def _get(port: int, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
    with contextlib.closing(connection):
        connection.request("GET", path)
        answer = connection.getresponse()
        if answer.status != 200:
            raise RuntimeError(f"{path} answered {answer.status}.")
        answer.read()


def try_out(
    port: int, process: int, act: Callable[[], tuple[int, list[int], float]]
) -> Outcome:
    """Has something done to a server, and watches it until it is idle again."""
    before = serving.memory_mb(process)
    body = json.dumps(serving.predict_body([serving.draw_jpeg()])).encode()
    request = serving.request_for(PREDICT, body)
    with (
        multiprocessing.get_context("spawn").Pool(1) as pool,
        watching(port, process) as watch,
    ):
        load = pool.apply_async(keep_asking, (port, request, 2))
        sent, statuses, seconds = act()
        watch.load = load.get()
    return Outcome(sent, statuses, seconds, watch, watch.memory - before)


def keep_asking(port: int, request: bytes, clients: int, seconds: float = 3.0) -> float:
    """Asks as ordinary clients do; returns the longest time an answer took."""
    outcome = serving.load(port, request, clients, seconds)
    return max(outcome["latencies"])


def draw_table(outcomes: dict[str, Outcome]) -> Table:
    """Draws what was seen."""
    table = Table(title="Worst while each kind was sent beside a normal load")
    table.add_column("kind")
    for column in (
        "sent, KB",
        "answers",
        "after, s",
        "/healthz, s",
        "normal request, s",
        "memory, MB more",
    ):
        table.add_column(column, justify="right")
    for name, outcome in outcomes.items():
        answers = ", ".join(map(str, sorted(set(outcome.statuses))))
        table.add_row(
            name,
            f"{outcome.sent / 1e3:,.1f}",
            answers,
            f"{outcome.seconds:.1f}",
            f"{outcome.watch.health:.2f}",
            f"{outcome.watch.load:.2f}",
            f"{outcome.added:.0f}",
        )
    return table


def run(port: int, process: int, args: argparse.Namespace) -> dict[str, Outcome]:
    """Sends every kind that is asked for."""
    outcomes: dict[str, Outcome] = {}
    for name, make in KINDS.items():
        if args.only and not any(word in name for word in args.only):
            continue
        hostile = make(full_size(make, args.megabytes))

        def act(hostile: Hostile = hostile) -> tuple[int, list[int], float]:
            statuses, seconds = send_all(port, hostile, args.at_once)
            return len(hostile.body), statuses, seconds

        outcomes[name] = try_out(port, process, act)
    name = f"search: {UNREAD} clients that take no answer"
    if not args.only or any(word in name for word in args.only):

        def leave() -> tuple[int, list[int], float]:
            started = time.perf_counter()
            take_nothing(port, 30.0)
            return 0, [200], time.perf_counter() - started

        outcomes[name] = try_out(port, process, leave)
    return outcomes


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--at_once", type=int, default=3)
    parser.add_argument("--megabytes", type=float, default=60, help="of a body")
    parser.add_argument("--only", nargs="*", default=[], help="words of kinds")
    parser.add_argument("--flags", nargs="*", default=[], help="further ones of serve")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = serving.apart(serving.export_untrained, Path(folder, "export"))
        index = serving.apart(make_collection, Path(folder, "things"), model)
        flags = (f"--index={index}", *args.flags)
        with serving.running_server(model, *flags) as (port, process):
            body = json.dumps(serving.predict_body([serving.draw_jpeg()])).encode()
            serving.send_some(port, serving.request_for(PREDICT, body), 50)
            outcomes = run(port, process, args)
    print_machine(draw_table(outcomes))


if __name__ == "__main__":
    main()
