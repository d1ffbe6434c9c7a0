"""What Prometheus reads, under the names TensorFlow Serving has for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST
_PREFIX = ":tensorflow:serving:"
_COUNT = f"{_PREFIX}request_count"


def _exponential(scale: float, growth: float, count: int) -> list[float]:
    return [float(f"{scale * growth**power:.6g}") for power in range(count)]


_LATENCIES = _exponential(10, 1.8, 33)  # Microseconds.
_WAITS = _exponential(100, 1.2, 52)
_SIZES = _exponential(1, 2, 15)


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
            "Distribution of wall time (in microseconds) for a request.",
            ["model_name", "API", "entrypoint", "status"],
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

    def watch_queue(self, queued: Callable[[], int]) -> None:
        """Asks this, from now on, how many examples wait."""
        self._waiting.set_function(queued)

    def record_request(
        self, model: str, api: str, entrypoint: str, status: str, seconds: float
    ) -> None:
        """Counts a request that was answered.

        Args:
            model: Name of a model or collection there is; any others would let
                clients fill the memory.
            api: What was asked, such as `predict`.
            entrypoint: `REST` or `GRPC`.
            status: The canonical code by name.
            seconds: How long it took.
        """
        self._requests.labels(model, status).inc()
        labels = self._latency.labels(model, api, entrypoint, status)
        labels.observe(seconds * 1e6)

    def record_run(self, model: str, seconds: float) -> None:
        """Counts a call of the model."""
        self._runtime.labels(model, "Predict", "TF1").observe(seconds * 1e6)

    def record_batch(self, rows: int, waits: Sequence[float]) -> None:
        """Counts a batch of so many examples, whose parts waited so many seconds."""
        self._sizes.observe(rows)
        for wait in waits:
            self._waits.observe(wait * 1e6)

    def page(self) -> bytes:
        """Returns everything in Prometheus's format."""
        text = prometheus_client.generate_latest(self._registry)
        # This library's counters end in _total, TensorFlow Serving's do not.
        return text.replace(f"{_COUNT}_total".encode(), _COUNT.encode())
