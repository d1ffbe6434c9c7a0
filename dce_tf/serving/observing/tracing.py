"""Traces of requests, for any collector that speaks OpenTelemetry's protocol.

The package is optional. Where the traces go, what the service is called and how many
are kept is said by the variables that OpenTelemetry itself has, such as
`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_SERVICE_NAME` and `OTEL_TRACES_SAMPLER`.
"""

from __future__ import annotations

import contextlib
import contextvars
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from dce_tf.base.errors import UsageError
from dce_tf.base.program import tell_to_install

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

_SERVICE = "dce-tf"
_ACTIVE: contextvars.ContextVar[Tracing | None] = contextvars.ContextVar(
    "tracing", default=None
)


class Tracing:
    """Makes a span for each request, and others within it.

    Args:
        exporter: Takes the spans; by default OTLP over HTTP.

    Raises:
        UsageError: If OpenTelemetry is not installed.
    """

    def __init__(self, exporter: SpanExporter | None = None) -> None:
        try:
            from opentelemetry import propagate
            from opentelemetry.exporter.otlp.proto.http import trace_exporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider, export
            from opentelemetry.trace import SpanKind, StatusCode
        except ModuleNotFoundError as error:
            raise UsageError(
                f"--tracing needs the package {error.name}: "
                f"{tell_to_install('tracing')}."
            ) from error
        os.environ.setdefault("OTEL_SERVICE_NAME", _SERVICE)
        self._provider = TracerProvider(resource=Resource.create())
        self._provider.add_span_processor(
            export.BatchSpanProcessor(exporter or trace_exporter.OTLPSpanExporter())
        )
        self._tracer = self._provider.get_tracer("dce_tf.serving")
        self._extract = propagate.extract
        self._server = SpanKind.SERVER
        self._failed = StatusCode.ERROR

    @contextlib.contextmanager
    def follow(
        self, name: str, carrier: Mapping[str, str], **about: str
    ) -> Iterator[Span]:
        """Makes the span of a request, below the one of its client if it has one.

        Args:
            name: Of the span, one of few.
            carrier: The headers, of which `traceparent` names the client's span.
            **about: Attributes, with `__` for a dot.
        """
        attributes = {key.replace("__", "."): value for key, value in about.items()}
        with self._tracer.start_as_current_span(
            name,
            context=self._extract(carrier),
            kind=self._server,
            attributes=attributes,
            # A refusal is raised, too, and is no failure of the server.
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            token = _ACTIVE.set(self)
            try:
                yield span
            finally:
                _ACTIVE.reset(token)

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Makes a span within the current one."""
        with self._tracer.start_as_current_span(
            name, record_exception=False, set_status_on_exception=False
        ):
            yield

    def blame(self, span: Span) -> None:
        """Marks a span as one in which the server failed."""
        span.set_status(self._failed)

    def close(self) -> None:
        """Sends what is left."""
        self._provider.shutdown()


@contextlib.contextmanager
def traced(name: str) -> Iterator[None]:
    """Makes a span of what is done within, if its request is traced."""
    active = _ACTIVE.get()
    with contextlib.nullcontext() if active is None else active.step(name):
        yield
