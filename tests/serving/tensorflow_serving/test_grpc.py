"""What TensorFlow Serving 2.21 refuses over gRPC, case by case."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from tensorflow_serving.apis import (
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

from tests.serving.conftest import Served
from tests.serving.tensorflow_serving.calls import BAD, CALLS, Call, metadata, predict


@pytest.fixture(scope="module")
def stubs(served: Served) -> Iterator[list[Any]]:
    server = served.listen()
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield [
            prediction_service_pb2_grpc.PredictionServiceStub(channel),
            model_service_pb2_grpc.ModelServiceStub(channel),
        ]
    server.stop(0)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.method)
def test_calls_are_refused_as_tensorflow_serving_does(
    stubs: list[Any], call: Call
) -> None:
    method = next(
        getattr(stub, call.method) for stub in stubs if hasattr(stub, call.method)
    )
    with pytest.raises(grpc.RpcError) as error:
        method(call.request, timeout=60)
    assert error.value.code() == grpc.StatusCode[call.code]
    details = error.value.details()
    beginning, rest, _ = call.details.partition("…")
    assert details.startswith(beginning) if rest else details == beginning


def test_calls_that_differ_are_as_the_readme_says(stubs: list[Any]) -> None:
    for method, message, code, details in (
        (
            stubs[0].Predict,
            predict(image_bytes=[1.0]),
            BAD,
            "Expects image_bytes to be string but float32 is provided",
        ),
        (
            stubs[0].GetModelMetadata,
            metadata("x"),
            BAD,
            "Metadata field x is not supported",
        ),
    ):
        with pytest.raises(grpc.RpcError) as error:
            method(message, timeout=60)
        assert error.value.code() == grpc.StatusCode[code]
        assert error.value.details() == details
