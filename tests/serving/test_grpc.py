from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from serving.grpc_server import start_grpc
from serving.guards import Limits
from tests.serving.conftest import GatedServable, Served, picture

LIMITS = Limits(body_bytes=100_000, answer_seconds=5)


class Stubs:
    def __init__(self, port: int) -> None:
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self.predictions = prediction_service_pb2_grpc.PredictionServiceStub(
            self.channel
        )
        self.models = model_service_pb2_grpc.ModelServiceStub(self.channel)


@pytest.fixture
def connect() -> Iterator[Callable[..., Stubs]]:
    stack = []

    def start(served: Served, **options: Any) -> Stubs:
        limits = options.pop("limits", LIMITS)
        server, port = start_grpc(
            served.predictor, served.metrics, limits, "127.0.0.1:0", **options
        )
        stubs = Stubs(port)
        stack.append((server, stubs))
        return stubs

    yield start
    for server, stubs in stack:
        stubs.channel.close()
        server.stop(0).wait()


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
        call(message, timeout=10, **options)
    return error.value.code(), error.value.details()


def test_predict_is_what_the_model_says(served: Served, stubs: Stubs) -> None:
    images = [picture(seed=seed) for seed in range(3)]
    message = request(image_bytes=images)
    answer = stubs.predictions.Predict(message, timeout=20)
    inputs = {"image_bytes": np.array(images, object)}
    expected = served.servable().run("serving_default", inputs)["embedding"]
    assert np.array_equal(tf.make_ndarray(answer.outputs["embedding"]), expected)
    spec = answer.model_spec
    assert (spec.name, spec.version.value) == ("embedder", 2)
    assert spec.signature_name == "serving_default"


def test_versions_labels_and_outputs_are_chosen(stubs: Stubs) -> None:
    message = request("echo", x=np.float32([5]))
    message.output_filter.append("version")
    for choose, version in (
        (lambda: None, 2),
        (lambda: setattr(message.model_spec.version, "value", 1), 1),
        (lambda: setattr(message.model_spec, "version_label", "canary"), 2),
    ):
        choose()
        answer = stubs.predictions.Predict(message, timeout=20)
        assert list(answer.outputs) == ["version"]
        assert tf.make_ndarray(answer.outputs["version"]).tolist() == [version]


def test_text_and_bytes_pass(stubs: Stubs) -> None:
    message = request(
        "mixed",
        count=np.int32([[1, 2]]),
        flag=np.array([True]),
        word=np.array([b"a\0"], object),
    )
    answer = stubs.predictions.Predict(message, timeout=20).outputs
    assert tf.make_ndarray(answer["word_bytes"]).tolist() == [b"a\0"]
    assert tf.make_ndarray(answer["flag"]).tolist() == [False]


def test_calls_are_refused_as_tensorflow_serving_does(stubs: Stubs) -> None:
    codes = grpc.StatusCode
    damaged = request("echo", x=np.float32([1]))
    damaged.inputs["x"].tensor_shape.dim[0].size = -3
    twice = request("echo", x=np.float32([1]))
    twice.output_filter.extend(["y", "y"])
    unknown = request("echo", x=np.float32([1]))
    unknown.output_filter.append("z")
    for message, code, words in (
        (
            request(name="foo", x=[1.0]),
            codes.NOT_FOUND,
            "Servable not found for request: Latest(foo)",
        ),
        (
            request("nope", x=[1.0]),
            codes.FAILED_PRECONDITION,
            'Serving signature key "nope" not found.',
        ),
        (
            request(z=["x"]),
            codes.INVALID_ARGUMENT,
            "input size does not match signature: 1!=1 len({z}) != "
            "len({image_bytes}). Sent extra: {z}. Missing but required: "
            "{image_bytes}.",
        ),
        (
            request(image_bytes=[1.0]),
            codes.INVALID_ARGUMENT,
            "Expects image_bytes to be string but float32 is provided",
        ),
        (damaged, codes.INVALID_ARGUMENT, "tensor parsing error: x"),
        (twice, codes.INVALID_ARGUMENT, "duplicate output tensor alias: y"),
        (
            unknown,
            codes.INVALID_ARGUMENT,
            "output tensor alias not found in signature: z Outputs expected to be in "
            "the set {version,y}.",
        ),
        (
            request("echo", x=np.float32(1)),
            codes.INVALID_ARGUMENT,
            'Input tensor "x" has shape [], expected [-1].',
        ),
    ):
        assert refusal(stubs.predictions.Predict, message) == (code, words)
    code, words = refusal(stubs.predictions.Predict, request(image_bytes=["x"]))
    assert code == codes.INVALID_ARGUMENT
    assert words.startswith("Unknown image file format.")
    huge = request(image_bytes=[picture(size=(200, 200))])
    code, words = refusal(stubs.predictions.Predict, huge)
    assert code == codes.RESOURCE_EXHAUSTED  # gRPC's own limit of a message.
    huge = request(image_bytes=[picture("JPEG", size=(200, 200))])
    assert "200 × 200 pixels" in refusal(stubs.predictions.Predict, huge)[1]


def test_tensors_are_taken_up_to_the_bytes_of_their_type(stubs: Stubs) -> None:
    for signature, kind, fits in (
        ("echo", np.float32, 25_000),
        ("total", np.float64, 12_500),
    ):
        message = request(signature, x=np.ones(1, kind))  # One value, repeated.
        size = message.inputs["x"].tensor_shape.dim[0]
        size.size = fits
        stubs.predictions.Predict(message, timeout=20)
        size.size = fits + 1
        code, words = refusal(stubs.predictions.Predict, message)
        assert code == grpc.StatusCode.INVALID_ARGUMENT
        assert f"x has {fits + 1:,} values" in words
        assert "at most 100,000 bytes" in words


def test_a_text_that_is_repeated_counts_each_time(stubs: Stubs) -> None:
    message = request(image_bytes=["short", "x" * 30_000])
    size = message.inputs["image_bytes"].tensor_shape.dim[0]
    for values, says in (
        (4, "Unknown image file format"),
        (5, "has 5 values of 120,0"),
    ):
        size.size = values
        code, words = refusal(stubs.predictions.Predict, message)
        assert code == grpc.StatusCode.INVALID_ARGUMENT
        assert says in words


def test_classify_and_regress_are_refused(stubs: Stubs) -> None:
    for call, message, kind in (
        (
            stubs.predictions.Classify,
            classification_pb2.ClassificationRequest(),
            "classification",
        ),
        (
            stubs.predictions.Regress,
            regression_pb2.RegressionRequest(),
            "regression",
        ),
    ):
        message.model_spec.name = "embedder"
        code, words = refusal(call, message)
        assert code == grpc.StatusCode.INVALID_ARGUMENT
        assert words.startswith(f"Expected {kind} signature method_name to be")


def test_metadata_and_status(stubs: Stubs) -> None:
    message = get_model_metadata_pb2.GetModelMetadataRequest()
    message.model_spec.name = "embedder"
    code, words = refusal(stubs.predictions.GetModelMetadata, message)
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "at least one metadata_field" in words
    message.metadata_field.append("signature_def")
    answer = stubs.predictions.GetModelMetadata(message, timeout=10)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(signatures)
    assert "serve_tensor" in signatures.signature_def
    assert answer.model_spec.version.value == 2
    status = get_model_status_pb2.GetModelStatusRequest()
    status.model_spec.name = "embedder"
    states = stubs.models.GetModelStatus(status, timeout=10).model_version_status
    available = get_model_status_pb2.ModelVersionStatus.AVAILABLE
    assert [(each.version, each.state) for each in states] == [
        (2, available),
        (1, available),
    ]
    status.model_spec.version.value = 7
    code, words = refusal(stubs.models.GetModelStatus, status)
    assert code == grpc.StatusCode.NOT_FOUND
    assert words == "Could not find version 7 of model embedder"


def test_a_call_waits_no_longer_than_its_deadline(
    serve: Callable[..., Served], connect: Callable[..., Stubs]
) -> None:
    served = serve(load=GatedServable)
    stubs = connect(served, limits=Limits(answer_seconds=0.2))
    gate = served.servable().gate
    gate.clear()
    code, words = refusal(stubs.predictions.Predict, request("echo", x=np.float32([1])))
    gate.set()
    assert code == grpc.StatusCode.DEADLINE_EXCEEDED
    assert words == "There was no answer within 0.2 seconds."


def test_a_call_nobody_waits_for_is_not_run(
    serve: Callable[..., Served], connect: Callable[..., Stubs]
) -> None:
    served = serve(load=GatedServable, num_threads=1)
    stubs = connect(served, limits=Limits(answer_seconds=0.2))
    servable = served.servable()
    while servable.running.acquire(blocking=False):
        pass  # Warm-up requests.
    servable.gate.clear()
    message = request("echo", x=np.float32([1]))
    for _ in range(3):
        refusal(stubs.predictions.Predict, message)
    servable.gate.set()
    served.batcher.close()
    assert servable.running.acquire(blocking=False)
    assert not servable.running.acquire(blocking=False)


def test_calls_need_the_token(served: Served, connect: Callable[..., Stubs]) -> None:
    stubs = connect(served, token="secret")
    message = request("echo", x=np.float32([1]))
    for metadata in (None, [("authorization", "Bearer wrong")]):
        code, _ = refusal(stubs.predictions.Predict, message, metadata=metadata)
        assert code == grpc.StatusCode.UNAUTHENTICATED
    metadata = [("authorization", "Bearer secret")]
    assert stubs.predictions.Predict(message, timeout=10, metadata=metadata)


def test_calls_are_counted(
    serve: Callable[..., Served], connect: Callable[..., Stubs]
) -> None:
    served = serve()
    stubs = connect(served)
    stubs.predictions.Predict(request("echo", x=np.float32([1])), timeout=10)
    assert (
        ':tensorflow:serving:request_latency_count{API="Predict",entrypoint="GRPC",'
        'model_name="embedder",status="OK"} 1.0'
    ) in served.metrics.page().decode()


def test_a_port_that_is_taken_is_told(served: Served) -> None:
    server, port = start_grpc(served.predictor, served.metrics, LIMITS, "127.0.0.1:0")
    with pytest.raises(ValueError, match=r"Choose another --grpc_port"):
        start_grpc(served.predictor, served.metrics, LIMITS, f"127.0.0.1:{port}")
    server.stop(0).wait()
