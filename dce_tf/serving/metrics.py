"""What Prometheus reads, under the names TensorFlow Serving has for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from dce_tf.retrieval.drift import Drift

CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST
_PREFIX = ":tensorflow:serving:"
_COUNT = f"{_PREFIX}request_count"


def _exponential(scale: float, growth: float, count: int) -> list[float]:
    return [float(f"{scale * growth**power:.6g}") for power in range(count)]


_LATENCIES = _exponential(10, 1.8, 33)  # Microseconds.
_WAITS = _exponential(100, 1.2, 52)
_SIZES = _exponential(1, 2, 15)
_PROBABILITIES = [0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0]


class Metrics:
    """Counts and times requests and batches."""

    def __init__(self) -> None:
        without_created: Any = prometheus_client.disable_created_metrics
        without_created()
        registry = self._registry = CollectorRegistry()
        prometheus_client.ProcessCollector(registry=registry)
        self._requests = Counter(
            _COUNT,
            "The total number of requests.",
            ["model_name", "status"],
            registry=registry,
        )
        self._latency = Histogram(
            f"{_PREFIX}request_latency",
            "Distribution of wall time (in microseconds) for requests answered well.",
            ["model_name", "API", "entrypoint"],
            buckets=_LATENCIES,
            registry=registry,
        )
        self._examples = Histogram(
            f"{_PREFIX}request_example_counts",
            "The number of examples per request to predict.",
            ["model"],
            buckets=_SIZES,
            registry=registry,
        )
        self._warmup = Histogram(
            f"{_PREFIX}model_warmup_latency",
            "Distribution of wall time (in microseconds) for warming up the model.",
            ["model_path", "status"],
            buckets=_LATENCIES,
            registry=registry,
        )
        self._runtime = Histogram(
            f"{_PREFIX}runtime_latency",
            "Distribution of wall time (in microseconds) for Tensorflow runtime.",
            ["model_name", "API", "runtime"],
            buckets=_LATENCIES,
            registry=registry,
        )
        self._waits = Histogram(
            f"{_PREFIX}batching_session:queuing_latency",
            "Distribution of wall time spent (in microseconds) in queuing.",
            buckets=_WAITS,
            registry=registry,
        )
        self._sizes = Histogram(
            f"{_PREFIX}batching_session:processed_batch_size",
            "Distribution of the number of examples run together.",
            buckets=_SIZES,
            registry=registry,
        )
        self._waiting = Gauge(
            "dce_tf:queued_examples", "Examples that wait.", registry=registry
        )
        by_collection: Any = {"labelnames": ["collection"], "registry": registry}
        self._queries = Counter(
            "dce_tf:queries", "Images and vectors searched for.", **by_collection
        )
        self._unknown = Counter(
            "dce_tf:unknown_queries",
            "Those of them for which nothing was probable enough.",
            **by_collection,
        )
        self._probability = Histogram(
            "dce_tf:query_probability",
            "Probability of the nearest hit of a query.",
            buckets=_PROBABILITIES,
            **by_collection,
        )
        self._drift = {
            "mean_distance": Gauge(
                "dce_tf:drift_mean_distance",
                "1 - the cosine of the mean of the last queries and the gallery's.",
                **by_collection,
            ),
            "mmd": Gauge(
                "dce_tf:drift_mmd",
                "Squared maximum mean discrepancy of last queries and gallery.",
                **by_collection,
            ),
            "z": Gauge(
                "dce_tf:drift_z",
                "The same in units of its standard error.",
                **by_collection,
            ),
        }

    def watch_queue(self, queued: Callable[[], int]) -> None:
        """Asks this, from now on, how many examples wait."""
        self._waiting.set_function(queued)

    def record_request(
        self, model: str, api: str, entrypoint: str, status: str, seconds: float
    ) -> None:
        """Counts a request that was answered, and times it if it was answered well.

        Args:
            model: Name of a model or collection there is, or none; any others would
                let clients fill the memory.
            api: What was asked, such as `predict`; empty for status and metadata.
            entrypoint: `REST` or `GRPC`.
            status: The canonical code by name.
            seconds: How long it took.
        """
        self._requests.labels(model, status).inc()
        if status == "OK":
            self._latency.labels(model, api, entrypoint).observe(seconds * 1e6)

    def record_examples(self, model: str, count: int) -> None:
        """Counts the examples of a request to `predict`."""
        self._examples.labels(model).observe(count)

    def record_warmup(self, path: str, seconds: float) -> None:
        """Times the warm-up of a version.

        Args:
            path: Model and version; not where they lie, which is nobody's business.
            seconds: How long it took.
        """
        self._warmup.labels(path, "OK").observe(seconds * 1e6)

    def record_run(self, model: str, seconds: float) -> None:
        """Counts a call of the model."""
        self._runtime.labels(model, "Predict", "TF1").observe(seconds * 1e6)

    def record_batch(self, rows: int, waits: Sequence[float]) -> None:
        """Counts a batch by its examples and by how long its parts waited."""
        self._sizes.observe(rows)
        for wait in waits:
            self._waits.observe(wait * 1e6)

    def record_query(
        self, collection: str, probability: float | None, unknown: bool | None
    ) -> None:
        """Counts what was searched for by image or vector.

        Args:
            collection: Name of a collection there is.
            probability: Of the nearest hit; None where nobody has calibrated it.
            unknown: Whether nothing was probable enough; None where that is not known.
        """
        self._queries.labels(collection).inc()
        if unknown is not None:
            self._unknown.labels(collection).inc(int(unknown))
        if probability is not None:
            self._probability.labels(collection).observe(probability)

    def record_drift(self, collection: str, drift: Drift) -> None:
        """Shows how far the last queries to a collection lie from it."""
        for name, gauge in self._drift.items():
            gauge.labels(collection).set(getattr(drift, name))

    def page(self) -> bytes:
        """Returns everything in Prometheus's format."""
        text = prometheus_client.generate_latest(self._registry)
        # This library's counters end in _total, TensorFlow Serving's do not.
        return text.replace(f"{_COUNT}_total".encode(), _COUNT.encode())
