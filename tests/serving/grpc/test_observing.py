"""Calls over gRPC have names and lines, as requests over HTTP have."""

import re
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2

from tests.serving.conftest import Lines, Served
from tests.serving.grpc.conftest import Stubs, request
from tests.waiting import until

PREDICT = "/tensorflow.serving.PredictionService/Predict"


def named(call: Any) -> str:
    return dict(call.initial_metadata())["x-request-id"]


def written(lines: Lines, count: int = 1) -> list[dict[str, Any]]:
    """Returns the lines of calls; an answer is there before its line is."""
    until(lambda: len(lines.requests()) >= count)
    return lines.requests()


def test_name_of_a_call_is_taken_and_given_back(
    served: Served, connect: Callable[..., Stubs], logged: Callable[..., Lines]
) -> None:
    lines = logged("json")
    stubs = connect(served)
    message = request("echo", x=np.float32([5]))
    metadata = (("x-request-id", "a-1"),)
    _, call = stubs.predictions.Predict.with_call(
        message, metadata=metadata, timeout=60
    )
    assert named(call) == "a-1"
    _, call = stubs.predictions.Predict.with_call(message, timeout=60)
    assert re.fullmatch("[0-9a-f]{32}", named(call))
    first, second = written(lines, 2)
    assert first.pop("ms") > 0
    assert re.fullmatch(r"ipv4:127\.0\.0\.1:\d+", first.pop("client"))
    del first["time"]
    assert first == {
        "level": "INFO",
        "message": f"POST {PREDICT} OK",
        "request_id": "a-1",
        "protocol": "grpc",
        "method": "POST",
        "route": PREDICT,
        "path": PREDICT,
        "status": "OK",
    }
    assert second["request_id"] == named(call)


@pytest.mark.parametrize(
    ("token", "code"), [(None, "FAILED_PRECONDITION"), ("secret", "UNAUTHENTICATED")]
)
def test_refused_calls_have_names_and_lines(
    token: str | None,
    code: str,
    served: Served,
    connect: Callable[..., Stubs],
    logged: Callable[..., Lines],
) -> None:
    lines = logged("json")
    stubs = connect(served, token=token)
    with pytest.raises(grpc.RpcError) as error:
        stubs.predictions.Predict(request("none", x=np.float32([5])), timeout=60)
    (line,) = written(lines)
    assert (line["status"], line["level"]) == (code, "INFO")
    assert line["request_id"] == named(error.value)


def test_failure_is_an_error(
    serve: Callable[..., Served],
    connect: Callable[..., Stubs],
    logged: Callable[..., Lines],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = logged("json")
    served = serve()
    stubs = connect(served)
    monkeypatch.setattr(served.predictor, "prepare", lambda *_: 1 / 0)
    with pytest.raises(grpc.RpcError):
        stubs.predictions.Predict(request("echo", x=np.float32([5])), timeout=60)
    assert [(line["status"], line["level"]) for line in written(lines)] == [
        ("INTERNAL", "ERROR")
    ]


def test_health_that_is_good_has_no_line(
    served: Served, connect: Callable[..., Stubs], logged: Callable[..., Lines]
) -> None:
    lines = logged("json")
    stubs = connect(served)
    stubs.health.Check(health_pb2.HealthCheckRequest(), timeout=60)
    stubs.predictions.Predict(request("echo", x=np.float32([5])), timeout=60)
    assert [line["route"] for line in written(lines)] == [PREDICT]
