"""Several `serve` processes on one collection in PostgreSQL, behind round robin.

    python -m benchmarks.servers [--servers 2] [--clients 8] [--seconds 10]
        [--images 20000] [--upserts 200]

A real PostgreSQL with pgvector (the package `pgserver`) holds random embeddings of 128
numbers under an HNSW index. Each client is a connection to every server and sends its
searches to one after the other. Then records are stored by one server and searched for
at the next, as soon as the first has answered. All of it shares the cores of this
machine: more servers answer more only where there are cores for them.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import json
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.table import Table

from benchmarks.postgres_server import PostgresServer
from benchmarks.serving import (
    EMBEDDING_DIM,
    apart,
    exchange,
    export_untrained,
    request_for,
    running_server,
)
from benchmarks.timing import print_machine
from dce_tf.index import Record
from dce_tf.index.postgres.address import Address
from dce_tf.index.postgres.building import build_postgres

COLLECTION = "/v1/collections/things"
_BLOCK = 1000

Vectors = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Seen:
    """How upserts on one server were seen by the next.

    Attributes:
        upserts: How many there were.
        found: How many the first search at the other server found.
        milliseconds: Between the answer to the upsert and the record, the median.
    """

    upserts: int
    found: int
    milliseconds: float


def export(folder: Path) -> str:
    """Writes a SavedModel to serve; returns its fingerprint."""
    from dce_tf.export import resolve_version
    from dce_tf.export.fingerprint import fingerprint

    return fingerprint(resolve_version(export_untrained(folder)))


def fill(address: Address, fingerprint: str, images: int) -> None:
    """Makes the collection, of random embeddings."""
    rng = np.random.default_rng(0)

    def blocks() -> Iterator[list[Record]]:
        for start in range(0, images, _BLOCK):
            numbers = range(start, min(images, start + _BLOCK))
            vectors = draw(rng, len(numbers))
            yield [Record(*each) for each in zip(numbers, vectors, strict=True)]

    build_postgres(
        address,
        blocks(),
        fingerprint=fingerprint,
        embedding_dim=EMBEDDING_DIM,
        count=images,
        kind="hnsw",
    )


def draw(rng: np.random.Generator, count: int) -> Vectors:
    """Returns random embeddings."""
    return rng.normal(size=(count, EMBEDDING_DIM)).astype(np.float32)


@contextlib.contextmanager
def running_servers(source: Path, where: str, count: int) -> Iterator[list[int]]:
    """Starts servers of one collection; gives their ports."""
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(running_server(source, f"--index={where}"))[0]
            for _ in range(count)
        ]


def search_in_turn(ports: Sequence[int], clients: int, seconds: float) -> list[float]:
    """Sends searches to servers, one after the other.

    Returns:
        Seconds that each search took.
    """
    latencies: list[list[float]] = [[] for _ in range(clients)]
    ready = threading.Barrier(clients)

    def ask(client: int) -> None:
        queries = draw(np.random.default_rng(client), 100)
        requests = itertools.cycle(
            request_for(f"{COLLECTION}:search", body_of(vector=query.tolist()))
            for query in queries
        )
        with connected(ports) as connections:
            turns = itertools.cycle(connections)
            # Not all begin at the same server.
            for _ in range(client):
                next(turns)
            ready.wait()
            end = time.perf_counter() + seconds
            while (started := time.perf_counter()) < end:
                exchange(next(turns), next(requests))
                latencies[client].append(time.perf_counter() - started)

    threads = [threading.Thread(target=ask, args=(each,)) for each in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [each for mine in latencies for each in mine]


def store_and_look(ports: Sequence[int], upserts: int) -> Seen:
    """Stores records at one server and searches for each at the next."""
    vectors = draw(np.random.default_rng(10**6), upserts)
    found, waits = 0, []
    with connected(ports) as connections:
        for number, vector in enumerate(vectors):
            writer, reader = (connections[(number + n) % len(ports)] for n in (0, 1))
            name, values = f"stored-{number}", vector.tolist()
            stored = body_of(records=[{"id": name, "vector": values}])
            exchange(writer, request_for(f"{COLLECTION}:upsert", stored))
            started = time.perf_counter()
            search = request_for(f"{COLLECTION}:search", body_of(vector=values, k=1))
            (hit,) = json.loads(exchange(reader, search))["hits"]
            waits.append(time.perf_counter() - started)
            found += hit["id"] == name
    return Seen(upserts, found, 1e3 * float(np.median(waits)))


def body_of(**values: object) -> bytes:
    """Returns the JSON of a request."""
    return json.dumps(values).encode()


@contextlib.contextmanager
def connected(ports: Sequence[int]) -> Iterator[list[socket.socket]]:
    """Connects to servers."""
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            for port in ports
        ]


def parse_arguments() -> argparse.Namespace:
    """Returns the flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (
        ("servers", 2),
        ("clients", 8),
        ("images", 20_000),
        ("upserts", 200),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--seconds", type=float, default=10)
    return parser.parse_args()


def main() -> None:
    """Measures and prints."""
    args = parse_arguments()
    table = Table(title=f"{args.images} images, {args.clients} clients")
    for heading in ("servers", "searches/s", "median ms", "99 % ms", "upserts seen"):
        table.add_column(heading, justify="right")
    table.add_column("median ms to see one", justify="right")
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        database = PostgresServer()
        stack.callback(database.close)
        source = Path(folder, "export")
        address = Address(database.dsn, "things")
        fill(address, apart(export, source), args.images)
        for count in sorted({1, args.servers}):
            with running_servers(source, str(address), count) as ports:
                search_in_turn(ports, args.clients, min(1, args.seconds))
                latencies = apart(search_in_turn, ports, args.clients, args.seconds)
                seen = store_and_look(ports, args.upserts)
            table.add_row(
                str(count),
                f"{len(latencies) / args.seconds:.0f}",
                f"{1e3 * np.median(latencies):.1f}",
                f"{1e3 * np.quantile(latencies, 0.99):.1f}",
                f"{seen.found} of {seen.upserts}",
                f"{seen.milliseconds:.1f}",
            )
    print_machine(table)


if __name__ == "__main__":
    main()
