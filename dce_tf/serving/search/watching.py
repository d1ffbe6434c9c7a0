"""Watches what is searched for: whether it is known, and whether it drifts away."""

from __future__ import annotations

import threading
import time

import numpy as np

from dce_tf.index import Collection
from dce_tf.retrieval.drift import FEWEST, measure_drift
from dce_tf.serving.metrics import Metrics
from dce_tf.serving.search.deciding import Decision
from dce_tf.serving.search.requests import Vector
from dce_tf.serving.search.threads import CollectionThreads

WINDOW = 2000
"""Queries that are remembered, and records they are compared with."""

EVERY = 250
"""Queries between two measurements."""

_SAMPLE_SECONDS = 3600.0  # After which the records are drawn again.


class QueryWatch:
    """Remembers the last queries to a collection, and compares them with its records.

    Args:
        collection: What is searched.
        metrics: Told of each query and each measurement.
        threads: Measure, beside the requests.
    """

    def __init__(
        self, collection: Collection, metrics: Metrics, threads: CollectionThreads
    ) -> None:
        self._collection = collection
        self._metrics = metrics
        self._threads = threads
        self._lock = threading.Lock()
        self._queries = np.empty((WINDOW, collection.embedding_dim), np.float32)
        self._count = 0
        self._records: Vector | None = None
        self._drawn = 0.0

    def add(self, vector: Vector, decision: Decision) -> None:
        """Takes a query that was answered; its vector is of any length above 0."""
        name = self._collection.name
        self._metrics.record_query(name, decision.probability, decision.unknown)
        with self._lock:
            self._queries[self._count % WINDOW] = vector / np.linalg.norm(vector)
            self._count += 1
            is_due = self._count >= FEWEST and self._count % EVERY == 0
        if is_due:
            self._threads.measure(self.measure)

    def measure(self) -> None:
        """Compares the last queries with the records, if there are enough of both."""
        if self._records is None or time.monotonic() > self._drawn + _SAMPLE_SECONDS:
            self._records = self._collection.sample(WINDOW)
            self._drawn = time.monotonic()
        if len(self._records) < FEWEST:
            return
        with self._lock:
            queries = self._queries[: min(self._count, WINDOW)].copy()
        drift = measure_drift(queries, self._records)
        self._metrics.record_drift(self._collection.name, drift)
