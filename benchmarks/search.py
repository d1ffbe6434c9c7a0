"""Search in a collection: recall against exact, time a query, memory, by kind of index.

    python -m benchmarks.search [--count 1000000] [--kinds exact hnsw ivf_sq ivf_pq]

Embeddings of 128 numbers are drawn around class centres, ten to a class. They are
stored once, and the structure of each kind is built from them; each kind is searched in
a process of its own, whose memory at its peak is that of Python and one open
collection. Times are of `Collection.search`, with looking up labels and metadata.
"""

from __future__ import annotations

import argparse
import dataclasses
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from benchmarks.division import draw_features
from benchmarks.timing import peak_memory, print_machine
from dce_tf.index import Record, build_collection, open_collection
from dce_tf.index.building import build_files
from dce_tf.index.manifest import Manifest
from dce_tf.index.records import RecordStore

DIM = 128
SPREAD = 0.5  # Standard deviation within a class; that of the centres is 1.
LATENT = 16  # Numbers that an embedding depends on.
K = 10
BLOCK = 4096
QUERIES = 1000
ALONE = 200  # Queries that are timed one by one.
MATCHING = 10_000  # Records that the filter on a field finds.
KINDS = ("exact", "hnsw", "ivf_sq", "ivf_pq")


def draw(count: int, spread: float, latent: int) -> tuple[Any, Any]:
    """Returns the embeddings of a gallery, and queries of its classes.

    Numbers of a network depend on each other: they are drawn as few that do not, and
    bent into as many as an embedding has.
    """
    total = count + QUERIES
    drawn, _ = draw_features(total, max(1, total // 10), latent, spread)
    mixing = np.random.default_rng(1).normal(size=(latent, DIM)).astype(np.float32)
    vectors = np.tanh(drawn @ mixing / np.sqrt(latent))
    return vectors[:count], vectors[count:]


def blocks(vectors: Any) -> Iterator[list[Record]]:
    """Yields records with a label and a number."""
    for start in range(0, len(vectors), BLOCK):
        part = vectors[start : start + BLOCK]
        yield [
            Record(start + n, vector, f"label {n % 100}", None, {"n": start + n})
            for n, vector in enumerate(part)
        ]


def build(folder: Path, kind: str) -> float:
    """Builds the structure of a kind from the records; returns the seconds."""
    manifest = Manifest.read(folder)
    planned = dataclasses.replace(manifest, kind=kind, build=manifest.build + 1)
    store = RecordStore(folder / "records.sqlite")
    started = time.perf_counter()
    done, _ = build_files(folder, store, planned)
    seconds = time.perf_counter() - started
    store.close()
    done.write(folder)
    return seconds


def measure(folder: str, queries: Any) -> dict[str, Any]:
    """Opens a collection and searches it."""
    started = time.perf_counter()
    collection = open_collection(folder, read_only=True)
    figures: dict[str, Any] = {"open": time.perf_counter() - started}
    collection.search(queries[:1], K)
    alone = []
    for query in queries[:ALONE, None]:
        started = time.perf_counter()
        collection.search(query, K)
        alone.append(1e3 * (time.perf_counter() - started))
    figures["alone"] = statistics.median(alone)
    figures["slowest"] = float(np.quantile(alone, 0.99))
    started = time.perf_counter()
    found = collection.search(queries, K)
    figures["together"] = 1e3 * (time.perf_counter() - started) / len(queries)
    filters = {"label": {"label": "label 7"}, "field": {"n": {"$lt": MATCHING}}}
    for name, where in filters.items():
        started = time.perf_counter()
        collection.search(queries[:1], K, where)
        figures[name] = 1e3 * (time.perf_counter() - started)
    figures["memory"] = peak_memory()
    figures["ids"] = [[hit.id for hit in hits] for hits in found]
    collection.close()
    return figures


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS))
    parser.add_argument("--spread", type=float, default=SPREAD)
    parser.add_argument("--latent", type=int, default=LATENT)
    parser.add_argument("--folder", default=None, help="where to put them")
    args = parser.parse_args()
    table = Table(title=f"Search among {args.count:,} × {DIM}, k = {K}")
    table.add_column("kind")
    columns = (
        "build s",
        "MB",
        "open s",
        f"recall@{K}",
        "ms, one",
        "p99",
        "ms of 1000",
        "ms, label",
        "ms, field",
        "peak MB",
    )
    for column in columns:
        table.add_column(column, justify="right")
    vectors, queries = draw(args.count, args.spread, args.latent)
    if args.folder:
        Path(args.folder).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.folder) as temporary:
        folder = Path(temporary, "index")
        started = time.perf_counter()
        build_collection(
            folder, blocks(vectors), fingerprint="f", embedding_dim=DIM, kind="exact"
        )
        stored = time.perf_counter() - started
        del vectors
        true: list[set[Any]] = []
        for kind in dict.fromkeys(["exact", *args.kinds]):
            seconds = build(folder, kind)
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                figures = pool.apply(measure, (str(folder), queries))
            found = [set(ids) for ids in figures["ids"]]
            true = true or found
            shares = [len(a & b) / K for a, b in zip(found, true, strict=True)]
            files = Manifest.read(folder).files.values()
            table.add_row(
                kind,
                f"{seconds:.1f}",
                f"{sum(file['bytes'] for file in files) / 2**20:.0f}",
                f"{figures['open']:.2f}",
                f"{statistics.mean(shares):.3f}",
                f"{figures['alone']:.2f}",
                f"{figures['slowest']:.2f}",
                f"{figures['together']:.2f}",
                f"{figures['label']:.1f}",
                f"{figures['field']:.1f}",
                f"{figures['memory']:.0f}",
            )
        size = (folder / "records.sqlite").stat().st_size / 2**20
    print_machine(table)
    print(f"Storing the records: {stored:.1f} s, {size:.0f} MB of SQLite")


if __name__ == "__main__":
    main()
