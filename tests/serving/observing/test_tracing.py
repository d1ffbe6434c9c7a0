"""Traces, taken by OpenTelemetry's own exporter to memory."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from dce_tf.base.errors import UsageError
from dce_tf.serving.observing.tracing import Tracing
from tests.serving.conftest import Served
from tests.serving.grpc.conftest import Stubs, request

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Traced:
    """A tracing, and the spans that it ended."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracing = Tracing(self.exporter)

    def spans(self) -> dict:
        self.tracing._provider.force_flush()
        return {span.name: span for span in self.exporter.get_finished_spans()}


@pytest.fixture
def traced() -> Iterator[Traced]:
    made = Traced()
    yield made
    made.tracing.close()


def test_request_is_a_span_below_its_clients_with_its_steps_within(
    traced: Traced, serve: Callable[..., Served]
) -> None:
    served = serve(tracing=traced.tracing)
    body = {"signature_name": "echo", "instances": [1.0]}
    headers = {"traceparent": CALLER, "X-Request-ID": "n1"}
    served.client.predict(body, headers=headers)
    spans = traced.spans()
    assert set(spans) == {"POST /v1/models/{name}:predict", "predict"}
    span = spans["POST /v1/models/{name}:predict"]
    assert span.kind is SpanKind.SERVER
    assert f"{span.context.trace_id:032x}" == CALLER.split("-")[1]
    assert f"{span.parent.span_id:016x}" == CALLER.split("-")[2]
    assert span.attributes["http.response.status_code"] == 200
    assert span.attributes["http.request.method"] == "POST"
    assert span.attributes["dce_tf.request_id"] == "n1"
    assert span.status.status_code is StatusCode.UNSET
    assert spans["predict"].parent.span_id == span.context.span_id
    assert span.resource.attributes["service.name"] == "dce-tf"


@pytest.mark.parametrize("names", [("x", "y")])
def test_names_of_others_make_no_spans_of_their_own(
    names: tuple[str, str], traced: Traced, serve: Callable[..., Served]
) -> None:
    served = serve(tracing=traced.tracing)
    for name in names:
        served.client.get(f"/v1/models/{name}")
    assert set(traced.spans()) == {"GET /v1/models/{name}"}


def test_failure_is_marked(
    traced: Traced, serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    served = serve(tracing=traced.tracing)
    monkeypatch.setattr(served.versions, "statuses", lambda *_: 1 / 0)
    served.client.get("/v1/models/embedder")
    (span,) = traced.spans().values()
    assert span.attributes["http.response.status_code"] == 500
    assert span.status.status_code is StatusCode.ERROR


def test_call_over_grpc_is_a_span(traced: Traced, serve: Callable[..., Served]) -> None:
    served = serve()
    server = served.listen(tracing=traced.tracing)
    stubs = Stubs(server.port, served.budget)
    metadata = (("traceparent", CALLER),)
    stubs.predictions.Predict(
        request("echo", x=np.float32([5])), metadata=metadata, timeout=60
    )
    with pytest.raises(grpc.RpcError):
        stubs.predictions.Predict(request("none", x=np.float32([5])), timeout=60)
    stubs.channel.close()
    server.stop(0)
    traced.spans()
    good, bad = traced.exporter.get_finished_spans()
    assert good.name == "tensorflow.serving.PredictionService/Predict"
    assert f"{good.context.trace_id:032x}" == CALLER.split("-")[1]
    assert good.attributes["rpc.response.status_code"] == "OK"
    assert bad.attributes["rpc.response.status_code"] == "FAILED_PRECONDITION"
    assert bad.status.status_code is StatusCode.UNSET


def test_missing_package_is_told_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http", None)
    with pytest.raises(UsageError, match=r"--tracing needs .*pip install '\.\[tracing"):
        Tracing()


def test_server_alone_does_not_load_opentelemetry() -> None:
    package = Path(sys.modules[Tracing.__module__].__file__)
    top = [line for line in package.read_text().splitlines() if line[:1] != " "]
    assert not any("opentelemetry" in line and "import" in line for line in top)
