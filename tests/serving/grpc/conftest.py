from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2_grpc
from tensorflow_serving.apis import (
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from dce_tf.serving.grpc.server import GrpcServer
from dce_tf.serving.limits import Limits
from dce_tf.serving.memory import MemoryBudget
from dce_tf.serving.reading import Readers
from tests.serving.conftest import Served

LIMITS = Limits(body_bytes=100_000, answer_seconds=5)


class Stubs:
    def __init__(self, port: int, budget: MemoryBudget) -> None:
        self.budget = budget
        self.address = f"127.0.0.1:{port}"
        self.channel = grpc.insecure_channel(self.address)
        self.predictions = prediction_service_pb2_grpc.PredictionServiceStub(
            self.channel
        )
        self.models = model_service_pb2_grpc.ModelServiceStub(self.channel)
        self.health = health_pb2_grpc.HealthStub(self.channel)


@pytest.fixture
def connect() -> Iterator[Callable[..., Stubs]]:
    stack = []

    def start(served: Served, **options: Any) -> Stubs:
        limits = options.pop("limits", LIMITS)
        readers = Readers(limits)
        budget = options.pop("budget", None) or MemoryBudget(limits)
        server = GrpcServer(
            served.predictor,
            served.metrics,
            budget,
            readers,
            "127.0.0.1:0",
            **options,
        )
        served.health.when_draining.append(server.drain)
        stubs = Stubs(server.port, budget)
        stack.append((server, readers, stubs))
        return stubs

    yield start
    for server, readers, stubs in stack:
        stubs.channel.close()
        server.stop(0)
        readers.close()


@pytest.fixture
def stubs(served: Served, connect: Callable[..., Stubs]) -> Stubs:
    return connect(served)


def request(
    signature: str = "", name: str = "embedder", **inputs: Any
) -> predict_pb2.PredictRequest:
    message = predict_pb2.PredictRequest()
    message.model_spec.name = name
    message.model_spec.signature_name = signature
    for key, value in inputs.items():
        message.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    return message


def refusal(call: Callable[..., Any], message: Any, **options: Any) -> tuple[Any, str]:
    with pytest.raises(grpc.RpcError) as error:
        call(message, timeout=60, **options)
    return error.value.code(), error.value.details()
