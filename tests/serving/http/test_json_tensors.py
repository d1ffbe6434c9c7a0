import base64
import binascii
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import tensorflow as tf

from dce_tf.serving.errors import ServingError
from dce_tf.serving.http.json_tensors import read_columns, read_rows, read_tensor
from dce_tf.serving.http.json_values import decode_base64
from dce_tf.serving.model.signatures import Signature, TensorSpec
from tests.serving.conftest import Client


def spec(dtype: tf.DType, *shape: int) -> TensorSpec:
    return TensorSpec(dtype, shape)


DATA = bytes(range(256))
TEXT = base64.b64encode(DATA).decode()


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        TEXT.rstrip("="),
        "\n".join(TEXT[n : n + 76] for n in range(0, len(TEXT), 76)) + "\r\n",
        TEXT.replace("=", "."),
        f" \t{TEXT}",
    ],
)
def test_base64_is_taken_with_spaces_and_without_padding(text: str) -> None:
    assert decode_base64(text) == DATA


@pytest.mark.parametrize(
    "text", [TEXT, f"{TEXT[:8]}\n{TEXT[8:]}", "AA==", "AAAA", "AAAAAA==", ""]
)
def test_base64_is_decoded_in_pieces(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []

    def decode(piece: Any, **options: Any) -> bytes:
        taken.append(len(piece))
        return binascii.a2b_base64(piece, **options)

    monkeypatch.setattr("dce_tf.serving.http.json_values._AT_ONCE", 4)
    monkeypatch.setattr(
        "dce_tf.serving.http.json_values.binascii", Mock(a2b_base64=decode)
    )
    assert decode_base64(text) == base64.b64decode(text)
    assert max(taken, default=0) <= 4
    with pytest.raises(ServingError, match="Unable to base64 decode"):
        decode_base64(f"AA=={text}AAAA")


@pytest.mark.parametrize(
    "text",
    ["A", "AAAAA", "AA=", "AAA==", "A=AA", "AA-_", "AAé=", "AA\0=", "====", "A==="],
)
def test_what_is_no_base64_is_refused(text: str) -> None:
    with pytest.raises(ServingError, match="Unable to base64 decode"):
        decode_base64(text)


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        (tf.int8, [-128, 127]),
        (tf.uint8, [0, 255]),
        (tf.int32, [-(2**31), 2**31 - 1]),
        (tf.int64, [-(2**63), 2**63 - 1]),
        (tf.uint64, [0, 2**64 - 1]),
        (tf.float16, [2047, 65504.0]),
        (tf.bfloat16, [255, 1e38]),
        (tf.float64, [2**53 - 1, 1e308]),
        (tf.bool, [True, False]),
    ],
)
def test_every_type_holds_its_own_range(dtype: tf.DType, values: list[Any]) -> None:
    array = read_tensor(values, spec(dtype, -1))
    assert array.dtype == dtype.as_numpy_dtype
    assert array.astype(object).tolist()[0] == values[0]


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        (tf.int8, 128),
        (tf.uint8, -1),
        (tf.int32, 2**31),
        (tf.int64, 2**63),
        (tf.int32, 1.0),
        (tf.int32, True),
        (tf.bool, 1),
        (tf.float32, "1"),
        (tf.float32, {"b64": "AA=="}),
        (tf.string, 1),
        (tf.string, {"b64": "AA==", "x": 1}),
    ],
)
def test_values_of_another_type_or_range_are_refused(
    dtype: tf.DType, value: Any
) -> None:
    with pytest.raises(ServingError) as error:
        read_tensor([value], spec(dtype, -1))
    assert error.value.http == 400


@pytest.mark.parametrize(
    ("dtype", "value", "expected"),
    [
        (tf.float16, 2049, 2048.0),
        (tf.float16, 1e5, float("inf")),
        (tf.bfloat16, 257, 256.0),
        (tf.float32, 1 << 80, 2.0**80),
    ],
)
def test_floats_are_rounded_to_their_type(
    dtype: tf.DType, value: Any, expected: float
) -> None:
    assert read_tensor([value], spec(dtype, -1)).tolist() == [expected]


def test_types_json_has_no_values_for_are_told() -> None:
    with pytest.raises(ServingError) as error:
        read_tensor([1], spec(tf.complex64, -1))
    assert error.value.code == "UNIMPLEMENTED"


def test_lists_deeper_than_any_tensor_are_refused() -> None:
    deep: Any = 1.0
    for depth in range(1, 300):
        deep = [deep]
        if depth <= 64:
            assert read_tensor(deep, spec(tf.float32, -1)).ndim == depth
            continue
        with pytest.raises(ServingError, match="more than 64 deep"):
            read_tensor(deep, spec(tf.float32, -1))


@pytest.mark.parametrize(
    ("value", "shape"),
    [(1.5, ()), ([], (0,)), ([[], []], (2, 0)), ([[[1]], [[2]]], (2, 1, 1))],
)
def test_lists_are_axes(value: Any, shape: tuple[int, ...]) -> None:
    assert read_tensor(value, spec(tf.float32, -1)).shape == shape


def test_text_and_bytes_may_be_mixed() -> None:
    values = ["é", {"b64": "AAE="}]
    array = read_tensor(values, spec(tf.string, -1))
    assert array.tolist() == ["é".encode(), b"\0\1"]


def test_columns_may_differ_from_rows_in_what_is_named() -> None:
    one = {"x": spec(tf.float32, -1)}
    for value in ([1.0], {"x": [1.0]}, {"x": [1.0], "other": "ignored"}):
        assert read_columns(value, one)["x"].tolist() == [1.0]
    assert read_rows([{"x": 1.0}, {"x": 2.0}], one)["x"].tolist() == [1.0, 2.0]


def test_examples_of_all_inputs_must_be_as_many() -> None:
    inputs = {"a": spec(tf.float32, -1), "b": spec(tf.float32, -1)}
    signature = Signature("s", "", inputs, {"c": spec(tf.float32, -1)})
    signature.check({"a": np.zeros(2), "b": np.zeros(2)})
    with pytest.raises(ServingError, match="equal 0th-dimension size, got 2, 3"):
        signature.check({"a": np.zeros(2), "b": np.zeros(3)})


def test_a_shape_that_is_open_takes_anything() -> None:
    unknown = Signature("s", "", {"a": TensorSpec(tf.float32, None)}, {})
    unknown.check({"a": np.zeros((1, 2, 3))})
    assert not unknown.is_batched


def test_items_of_another_shape_than_the_first_fail_alone(client: Client) -> None:
    body = {"signature_name": "alike", "instances": [[1.0], [1.0, 2.0], [3.0]]}
    answer = client.predict(body, headers={"X-Per-Item-Errors": "1"})
    assert answer.json() == {
        "predictions": [
            [1.0],
            {"error": "Expecting shape [1] but got: [2]"},
            [3.0],
        ]
    }


def test_requests_of_other_widths_are_not_joined(client: Client) -> None:
    url = "/v1/models/embedder:predict"
    asked = [
        client.begin(
            "POST",
            url,
            json={"signature_name": "alike", "instances": [[float(n)] * (1 + n % 3)]},
        )
        for n in range(30)
    ]
    for n, each in enumerate(asked):
        assert each.result(60).json() == {"predictions": [[float(n)] * (1 + n % 3)]}


def test_what_has_no_examples_to_count_is_not_joined(client: Client) -> None:
    asked = [
        client.begin(
            "POST",
            "/v1/models/embedder:predict",
            json={"signature_name": "total", "inputs": [float(n), 1.0]},
        )
        for n in range(20)
    ]
    for n, each in enumerate(asked):
        assert each.result(60).json() == {"outputs": n + 1.0}
