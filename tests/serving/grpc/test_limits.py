"""Calls are bounded as requests over HTTP are, by the same limits and memory."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from tensorflow_serving.apis import get_model_status_pb2, predict_pb2

from dce_tf.serving.limits import Limits
from dce_tf.serving.memory import MemoryBudget
from tests.serving.conftest import GatedServable, Served, picture
from tests.serving.grpc.conftest import Stubs, refusal, request
from tests.waiting import until

PREDICT = "/tensorflow.serving.PredictionService/Predict"
GOOD = request("echo", x=np.float32([1]))
TOO_MANY = "Too many large requests at once. Try again soon."
codes = grpc.StatusCode


def raw(stubs: Stubs) -> Any:
    return stubs.channel.unary_unary(PREDICT)


@pytest.fixture
def silent(served: Served) -> Iterator[Callable[[Stubs], Any]]:
    """Begins calls whose message does not come."""
    gate = threading.Event()

    def wait() -> Iterator[bytes]:
        gate.wait(120)
        yield from ()

    yield lambda stubs: stubs.channel.stream_unary(PREDICT).future(wait(), timeout=60)
    gate.set()


def test_a_message_that_does_not_come_ends_its_call(
    served: Served, connect: Callable[..., Stubs], silent: Callable[[Stubs], Any]
) -> None:
    stubs = connect(served, limits=Limits(body_seconds=0.3))
    call = silent(stubs)
    assert call.exception().code() == codes.DEADLINE_EXCEEDED
    assert call.exception().details() == "The request was not here within 0.3 seconds."


def test_messages_that_do_not_come_keep_nobody_waiting(
    stubs: Stubs, silent: Callable[[Stubs], Any]
) -> None:
    waiting = [silent(stubs) for _ in range(100)]
    for _ in range(3):
        stubs.predictions.Predict(GOOD, timeout=60)
    assert not any(call.done() for call in waiting)
    for call in waiting:
        call.cancel()


def test_a_call_without_a_message_is_refused(stubs: Stubs) -> None:
    call = stubs.channel.stream_unary(PREDICT).future(iter(()), timeout=60)
    assert call.exception().code() == codes.INVALID_ARGUMENT
    assert call.exception().details() == "The call has no message."


def test_a_message_that_is_none_is_refused(stubs: Stubs) -> None:
    code, words = refusal(raw(stubs), b"\x12\xff")
    assert (code, words) == (
        codes.INVALID_ARGUMENT,
        "The message is no PredictRequest.",
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [("float_val", 1.0), ("int_val", 1), ("string_val", b""), ("bool_val", True)],
)
def test_more_values_than_allowed_are_refused_before_they_are_read(
    served: Served,
    connect: Callable[..., Stubs],
    monkeypatch: pytest.MonkeyPatch,
    field: str,
    value: Any,
) -> None:
    stubs = connect(served, limits=Limits(json_values=100))
    message = predict_pb2.PredictRequest()
    message.model_spec.name = "embedder"
    getattr(message.inputs["x"], field).extend([value] * 101)
    parsed = []
    monkeypatch.setattr(
        "dce_tf.serving.grpc.calls._parse", lambda *given: parsed.append(given)
    )
    code, words = refusal(stubs.predictions.Predict, message)
    assert code == codes.INVALID_ARGUMENT
    assert words.startswith("The request holds more than 100 values")
    assert not parsed


def test_a_tensor_that_is_bytes_has_no_values_to_count(
    served: Served, connect: Callable[..., Stubs]
) -> None:
    stubs = connect(served, limits=Limits(json_values=100))
    message = request("echo", x=np.ones(5000, np.float32))
    answer = stubs.predictions.Predict(message, timeout=60)
    assert answer.outputs["y"].tensor_shape.dim[0].size == 5000


def test_calls_without_tensors_have_a_limit_of_their_own(
    served: Served, connect: Callable[..., Stubs]
) -> None:
    stubs = connect(served, limits=Limits(query_bytes=1000))
    message = get_model_status_pb2.GetModelStatusRequest()
    message.model_spec.name = "embedder" * 200
    code, words = refusal(stubs.models.GetModelStatus, message)
    assert code == codes.RESOURCE_EXHAUSTED
    assert "larger than 1,000 bytes" in words


def test_all_tensors_of_a_call_are_bounded_together(stubs: Stubs) -> None:
    message = request(
        "mixed",
        count=np.int32([[1]]),
        flag=np.array([True]),
        word=np.array([b"a"], object),
    )
    message.inputs["count"].tensor_shape.dim[1].size = 2
    for name in ("count", "flag", "word"):
        message.inputs[name].tensor_shape.dim[0].size = 5000
    stubs.predictions.Predict(message, timeout=60)  # 40,000, 5,000 and 45,000 bytes.
    for name in ("count", "flag", "word"):
        message.inputs[name].tensor_shape.dim[0].size = 6000
    code, words = refusal(stubs.predictions.Predict, message)
    assert code == codes.INVALID_ARGUMENT
    assert "word has 6,000 values of 54,000 bytes, and at most 46,000" in words


def test_the_pixels_of_all_images_of_a_call_are_bounded(
    serve: Callable[..., Served], connect: Callable[..., Stubs]
) -> None:
    stubs = connect(serve(max_request_pixels=1000))
    images = [picture(size=(20, 10))] * 6
    stubs.predictions.Predict(request(image_bytes=images[:5]), timeout=60)
    code, words = refusal(stubs.predictions.Predict, request(image_bytes=images))
    assert code == codes.INVALID_ARGUMENT
    assert "1,200 pixels together" in words
    assert "1,000 at once (--max_request_pixels)" in words


@pytest.mark.slow
def test_memory_is_shared_with_requests_over_http(
    serve: Callable[..., Served], connect: Callable[..., Stubs]
) -> None:
    limits = Limits(body_bytes=100_000, query_bytes=10_000, json_values=1000)
    served = serve(limits=limits, load=GatedServable)
    stubs = connect(served, limits=limits, budget=served.budget)
    gate = served.servable().gate
    gate.clear()
    large = request("alike", x=np.ones((1, 20_000), np.float32))
    body = {"signature_name": "echo", "instances": [1.0]}
    padded = {"content": b" " * 90_000 + b'{"instances": [1]}'}
    # Each has its message and its tensors, 160 KB of the 350 that are not kept.
    waiting = [stubs.predictions.Predict.future(large, timeout=60) for _ in range(2)]
    try:
        until(lambda: served.budget._held >= 320_000)
        assert refusal(stubs.predictions.Predict, large) == (
            codes.RESOURCE_EXHAUSTED,
            TOO_MANY,
        )
        answer = served.client.predict(**padded)
        assert (answer.status_code, answer.json()) == (503, {"error": TOO_MANY})
        assert answer.headers["Retry-After"] == "1"
        small = stubs.predictions.Predict.future(GOOD, timeout=60)
    finally:
        gate.set()
    assert all(call.result() for call in [*waiting, small])
    assert served.client.predict(body).status_code == 200
    wait_until_free(served.budget)
    stubs.predictions.Predict(large, timeout=60)


def wait_until_free(budget: MemoryBudget) -> None:
    until(lambda: not budget._held)


@pytest.mark.slow
def test_no_end_of_a_call_keeps_memory(
    serve: Callable[..., Served],
    connect: Callable[..., Stubs],
    silent: Callable[[Stubs], Any],
) -> None:
    served = serve(load=GatedServable)
    limits = Limits(answer_seconds=0.5, json_values=5000)
    stubs = connect(served, limits=limits, budget=MemoryBudget(limits))
    budget = stubs.budget
    large = request("alike", x=np.ones((1, 100_000), np.float32))
    stubs.predictions.Predict(large, timeout=60)
    refusal(raw(stubs), b"\x12\xff" * 10_000)
    refusal(stubs.predictions.Predict, request("none", x=np.ones(100_000, np.float32)))
    refusal(stubs.predictions.Predict, request(image_bytes=["x"] * 6000))
    served.servable().gate.clear()
    code, words = refusal(stubs.predictions.Predict, large)
    assert (code, words) == (
        codes.DEADLINE_EXCEEDED,
        "There was no answer within 0.5 seconds.",
    )
    gone = stubs.predictions.Predict.future(large, timeout=60)
    never = silent(stubs)
    until(lambda: budget._held)
    gone.cancel()
    never.cancel()
    served.servable().gate.set()
    wait_until_free(budget)


@pytest.mark.slow
def test_an_answer_that_nobody_takes_counts_until_its_connection_ends(
    serve: Callable[..., Served], connect: Callable[..., Stubs]
) -> None:
    limits = Limits(body_bytes=30_000_000, body_seconds=1, answer_seconds=3)
    stubs = connect(serve(), limits=limits, connection_seconds=2)
    large = request("alike", x=np.ones((1, 6_000_000), np.float32))
    channel = grpc.insecure_channel(
        stubs.address, options=[("grpc.max_receive_message_length", -1)]
    )
    asked = channel.unary_stream(PREDICT)(large.SerializeToString(), timeout=60)
    for held in (True, False):
        until(lambda held=held: (stubs.budget._held >= 24_000_000) == held)
    wait_until_free(stubs.budget)
    with pytest.raises(grpc.RpcError):
        list(asked)
    channel.close()


def test_connections_that_end_lose_no_calls(
    served: Served, connect: Callable[..., Stubs]
) -> None:
    stubs = connect(served, limits=Limits(), connection_seconds=0.2)
    end = time.monotonic() + 3
    calls = 0
    while time.monotonic() < end or calls < 100:
        waiting = [stubs.predictions.Predict.future(GOOD, timeout=60) for _ in range(8)]
        for call in waiting:
            assert len(call.result().outputs) == 2
        calls += len(waiting)
