"""What a message becomes is known before it is parsed, in steps that are counted."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from dce_tf.serving.grpc.message_size import measure_request

MOST = 1_000_000


def message(**fields: Any) -> bytes:
    request = predict_pb2.PredictRequest()
    tensor = request.inputs["x"]
    tensor.dtype = 1
    for name, values in fields.items():
        getattr(tensor, name).extend(values)
    return bytes(request.SerializeToString())


ZEROS = message()


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("float_val", [1.5] * 100),
        ("double_val", [1.5] * 100),
        ("scomplex_val", [1.5] * 100),
        ("dcomplex_val", [1.5] * 100),
        ("int_val", [1, -1] * 50),
        ("int64_val", [2**40, -(2**40)] * 50),
        ("bool_val", [True] * 100),
        ("half_val", [7, 300] * 50),
        ("uint32_val", [2**31] * 100),
        ("uint64_val", [2**63, 0] * 50),
        ("string_val", [b"", b"x" * 300] * 50),
    ],
)
def test_every_value_of_a_tensor_counts(field: str, values: list[Any]) -> None:
    few = measure_request(ZEROS, MOST).values
    data = message(**{field: values})
    size = measure_request(data, MOST)
    assert size.length == len(data)
    assert few + 100 <= size.values <= few + 102


def test_numbers_that_are_not_packed_count() -> None:
    tensor = b"\x08\x01" + b"\x2d\0\0\0\0" * 100  # float_val, one by one
    entry = b"\x0a\x01x\x12" + varint(len(tensor)) + tensor
    data = b"\x12" + varint(len(entry)) + entry
    assert len(predict_pb2.PredictRequest.FromString(data).inputs["x"].float_val) == 100
    assert measure_request(data, MOST).values >= 100


def varint(number: int) -> bytes:
    digits = bytearray()
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*digits, number])


def test_what_is_bytes_already_is_no_value() -> None:
    request = predict_pb2.PredictRequest()
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(np.full((1000, 1000), 32.0)))
    request.inputs["y"].CopyFrom(tf.make_tensor_proto([b"B" * 1_000_000] * 3))
    assert measure_request(request.SerializeToString(), MOST).values < 30


@pytest.mark.parametrize("end", [b"", b"\xff", b"\x12\xff\xff\xff\xff\x0f"])
def test_a_damaged_message_is_walked_to_where_it_breaks(end: bytes) -> None:
    data = message(string_val=[b"a"] * 10) + end
    for length in range(len(data)):
        assert measure_request(data[:length], MOST).values < 30


def test_a_walk_ends_where_there_are_too_many_values() -> None:
    text = b"\x42\0" * 20_000_000
    entry = b"\x0a\x01x\x12" + varint(len(text)) + text
    data = b"\x12" + varint(len(entry)) + entry

    class Counted(bytes):
        looks = 0

        def __getitem__(self, place: Any) -> Any:
            Counted.looks += 1
            return super().__getitem__(place)

    assert measure_request(Counted(data), 1000).values == 1001
    assert Counted.looks < 3000
