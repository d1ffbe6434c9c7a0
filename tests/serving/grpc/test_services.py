from collections.abc import Callable

import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
)

from dce_tf.serving.limits import Limits
from tests.serving.conftest import GatedServable, Served, picture
from tests.serving.grpc.conftest import Stubs, refusal, request


def test_predict_is_what_the_model_says(served: Served, stubs: Stubs) -> None:
    images = [picture(seed=seed) for seed in range(3)]
    message = request(image_bytes=images)
    answer = stubs.predictions.Predict(message, timeout=60)
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
        answer = stubs.predictions.Predict(message, timeout=60)
        assert list(answer.outputs) == ["version"]
        assert tf.make_ndarray(answer.outputs["version"]).tolist() == [version]


def test_text_and_bytes_pass(stubs: Stubs) -> None:
    message = request(
        "mixed",
        count=np.int32([[1, 2]]),
        flag=np.array([True]),
        word=np.array([b"a\0"], object),
    )
    answer = stubs.predictions.Predict(message, timeout=60).outputs
    assert tf.make_ndarray(answer["word_bytes"]).tolist() == [b"a\0"]
    assert tf.make_ndarray(answer["flag"]).tolist() == [False]


def test_images_that_cannot_be_embedded_are_refused(stubs: Stubs) -> None:
    codes = grpc.StatusCode
    code, words = refusal(stubs.predictions.Predict, request(image_bytes=["x"]))
    assert code == codes.INVALID_ARGUMENT
    assert words.startswith("not an image; expected")
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
        stubs.predictions.Predict(message, timeout=60)
        size.size = fits + 1
        code, words = refusal(stubs.predictions.Predict, message)
        assert code == grpc.StatusCode.INVALID_ARGUMENT
        assert f"x has {fits + 1:,} values" in words
        assert "at most 100,000 bytes" in words


def test_a_text_that_is_repeated_counts_each_time(stubs: Stubs) -> None:
    message = request(image_bytes=["short", "x" * 30_000])
    size = message.inputs["image_bytes"].tensor_shape.dim[0]
    for values, says in (
        (4, "not an image; expected"),
        (5, "has 5 values of 120,0"),
    ):
        size.size = values
        code, words = refusal(stubs.predictions.Predict, message)
        assert code == grpc.StatusCode.INVALID_ARGUMENT
        assert says in words


def test_metadata_and_status(stubs: Stubs) -> None:
    message = get_model_metadata_pb2.GetModelMetadataRequest()
    message.model_spec.name = "embedder"
    code, words = refusal(stubs.predictions.GetModelMetadata, message)
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "at least one metadata_field" in words
    message.metadata_field.append("signature_def")
    answer = stubs.predictions.GetModelMetadata(message, timeout=60)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(signatures)
    assert "serve_tensor" in signatures.signature_def
    assert answer.model_spec.version.value == 2
    status = get_model_status_pb2.GetModelStatusRequest()
    status.model_spec.name = "embedder"
    states = stubs.models.GetModelStatus(status, timeout=60).model_version_status
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
    wrong = ("Bearer wrong", "Bearer secre", "Bearer secret2", "x Bearer secret")
    for metadata in (None, *([("authorization", each)] for each in wrong)):
        code, _ = refusal(stubs.predictions.Predict, message, metadata=metadata)
        assert code == grpc.StatusCode.UNAUTHENTICATED, metadata
    metadata = [("authorization", "Bearer secret")]
    assert stubs.predictions.Predict(message, timeout=60, metadata=metadata)


def test_calls_are_counted_and_those_answered_well_are_timed(
    serve: Callable[..., Served], connect: Callable[..., Stubs]
) -> None:
    served = serve()
    stubs = connect(served)
    good = request("echo", x=np.float32([1, 2]))
    stubs.predictions.Predict(good, timeout=60)
    refusal(stubs.predictions.Predict, request("nope", x=np.float32([1])))
    refusal(stubs.predictions.Predict, predict_pb2.PredictRequest())
    refusal(stubs.predictions.Predict, request(name="nobody", x=np.float32([1])))
    page = served.metrics.page().decode()
    for line in (
        ':tensorflow:serving:request_latency_count{API="Predict",entrypoint="GRPC",'
        'model_name="embedder"} 1.0',
        ':tensorflow:serving:request_count{model_name="embedder",status="OK"} 1.0',
        ':tensorflow:serving:request_count{model_name="embedder",'
        'status="FAILED_PRECONDITION"} 1.0',
        ':tensorflow:serving:request_count{model_name="",status="INVALID_ARGUMENT"} '
        "1.0",
        ':tensorflow:serving:request_example_counts_sum{model="embedder"} 2.0',
    ):
        assert line in page
    assert "nobody" not in page


def test_calls_that_break_are_not_counted_as_answered(
    serve: Callable[..., Served],
    connect: Callable[..., Stubs],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    served = serve()
    stubs = connect(served)
    monkeypatch.setattr("dce_tf.serving.grpc.services.read_inputs", lambda *_: 1 / 0)
    code, words = refusal(stubs.predictions.Predict, request("echo", x=np.float32([1])))
    assert code == grpc.StatusCode.INTERNAL
    assert words == "The server failed; its log has why."
    counts = ':tensorflow:serving:request_count{model_name="embedder",status="%s"}'
    page = served.metrics.page().decode()
    assert f"{counts % 'INTERNAL'} 1.0" in page
    assert counts % "OK" not in page


SERVICES = (
    "",
    "tensorflow.serving.PredictionService",
    "tensorflow.serving.ModelService",
)


def test_health_is_told_by_the_standard_service(
    serve: Callable[..., Served], connect: Callable[..., Stubs]
) -> None:
    served = serve()
    stubs = connect(served, token="secret")
    for name in SERVICES:
        answer = stubs.health.Check(
            health_pb2.HealthCheckRequest(service=name), timeout=60
        )
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    unknown = health_pb2.HealthCheckRequest(service="x")
    assert refusal(stubs.health.Check, unknown)[0] == grpc.StatusCode.NOT_FOUND
    watch = stubs.health.Watch(health_pb2.HealthCheckRequest(), timeout=60)
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    served.health.drain()
    assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
    for name in SERVICES:
        answer = stubs.health.Check(
            health_pb2.HealthCheckRequest(service=name), timeout=60
        )
        assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
    message = request("echo", x=np.float32([1]))
    metadata = [("authorization", "Bearer secret")]
    assert stubs.predictions.Predict(message, timeout=60, metadata=metadata)


def test_a_port_that_is_taken_is_told(served: Served) -> None:
    server = served.listen()
    with pytest.raises(ValueError, match=r"Choose another --grpc_port"):
        served.listen(f"127.0.0.1:{server.port}")
    server.stop(0)
