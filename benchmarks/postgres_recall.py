"""How much the graph of PostgreSQL finds, against every record compared.

    python -m benchmarks.postgres_recall [--count 20000] [--ef 16 64 128 256]

A real PostgreSQL with pgvector (the package `pgserver`) holds embeddings of 128
numbers, drawn as those of `benchmarks.search`, once without an index and once under
HNSW for each `ef`. The same 1,000 queries are put to each, k = 10.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from typing import Any

from rich.table import Table

from benchmarks.postgres_server import PostgresServer
from benchmarks.search import DIM, LATENT, SPREAD, K, blocks, draw
from benchmarks.timing import print_machine
from dce_tf.index.postgres.address import Address
from dce_tf.index.postgres.building import build_postgres
from dce_tf.index.postgres.collection import PostgresCollection

EXACT = "exact"


def find(
    dsn: str, kind: str, vectors: Any, queries: Any
) -> tuple[list[set[Any]], float, float]:
    """Makes a collection and searches it.

    Args:
        dsn: The database.
        kind: How it is searched.
        vectors: What it holds, `(count, 128)`.
        queries: What to search for, `(num_queries, 128)`.

    Returns:
        The ids found for each query, the seconds of building, and the milliseconds of
        a query, each for itself, the median.
    """
    address = Address(dsn, "things")
    started = time.perf_counter()
    build_postgres(
        address,
        blocks(vectors),
        fingerprint="f",
        embedding_dim=DIM,
        kind=kind,
        overwrite=True,
    )
    built = time.perf_counter() - started
    collection = PostgresCollection(address, read_only=True)
    found, times = [], []
    for query in queries:
        started = time.perf_counter()
        (hits,) = collection.search(query[None], K)
        times.append(1e3 * (time.perf_counter() - started))
        found.append({hit.id for hit in hits})
    collection.close()
    return found, built, statistics.median(times)


def recall(found: Sequence[set[Any]], true: Sequence[set[Any]]) -> float:
    """Returns the share of the nearest that was found, 0 to 1."""
    return statistics.mean(
        len(a & b) / len(b) for a, b in zip(found, true, strict=True)
    )


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--ef", type=int, nargs="*", default=[16, 64, 128, 256])
    args = parser.parse_args()
    table = Table(title=f"PostgreSQL: {args.count:,} × {DIM}, k = {K}")
    table.add_column("kind")
    for column in (f"recall@{K}", "build s", "ms, one"):
        table.add_column(column, justify="right")
    vectors, queries = draw(args.count, SPREAD, LATENT)
    true: list[set[Any]] = []
    server = PostgresServer()
    try:
        for kind in (EXACT, *(f"hnsw(ef={ef})" for ef in args.ef)):
            found, built, one = find(server.dsn, kind, vectors, queries)
            true = true or found
            share = recall(found, true)
            table.add_row(kind, f"{share:.3f}", f"{built:.1f}", f"{one:.2f}")
    finally:
        server.close()
    print_machine(table)


if __name__ == "__main__":
    main()
