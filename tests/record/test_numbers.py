import decimal
import fractions

import keras
import numpy as np
import pytest
import tensorflow as tf

from dce_tf.record import as_number, keep_numbers


@pytest.mark.parametrize(
    "value",
    [
        2,
        2.0,
        np.float32(2),
        np.float16(2),
        np.int64(2),
        np.uint8(2),
        np.array(2.0),
        fractions.Fraction(2),
        decimal.Decimal(2),
        tf.constant(2.0),
        tf.constant(2, tf.int64),
        tf.constant(2.0, tf.bfloat16),
        tf.constant(2.0, tf.float16),
        tf.Variable(2),
        keras.Variable(2.0),
    ],
    ids=lambda value: f"{type(value).__name__}-{getattr(value, 'dtype', '')}",
)
def test_scalar_of_any_library_is_a_number(value: object) -> None:
    number = as_number(value)
    assert number == 2
    assert type(number) in (int, float)


def test_truth_is_a_number() -> None:
    assert [as_number(v) for v in (True, np.bool_(False), np.array(True))] == [1, 0, 1]


def test_variable_on_several_devices_is_a_number(
    two_devices: tf.distribute.Strategy,
) -> None:
    with two_devices.scope():
        variable = keras.Variable(2.5)
    assert as_number(variable) == 2.5


@pytest.mark.parametrize(
    ("value", "described"),
    [
        ("good", "the text 'good'"),
        (b"good", "the text b'good'"),
        (np.str_("good"), "the text"),
        (np.zeros(3, np.float32), r"ndarray of shape \(3,\), dtype float32"),
        (np.zeros(1), r"ndarray of shape \(1,\)"),
        ([1.0, 2.0], r"list of shape \(2,\)"),
        ([[1.0], [1.0, 2.0]], "an object of type list"),
        ({"a": 1}, "an object of type dict"),
        (tf.constant([1, 2]), r"EagerTensor of shape \(2,\), dtype int32"),
        (tf.constant("good"), "EagerTensor"),
        (1j, "complex"),
        (np.datetime64("2020-01-01"), "datetime64"),
        (keras.metrics.Mean, "an object of type"),
        (lambda: 1, "an object of type function"),
    ],
)
def test_what_is_no_number_is_refused_with_its_key_and_the_remedy(
    value: object, described: str
) -> None:
    logs = {"loss": 0.5, "mine": value}
    with pytest.raises(ValueError, match=rf"Watch logged 'mine': {described}") as error:
        keep_numbers(logs, "Watch")
    assert "expected one number" in str(error.value)
    assert "logs['mine'] = float(" in str(error.value)


def test_numbers_are_kept_as_those_of_python() -> None:
    logs = {"a": np.float32(0.5), "b": tf.constant(2), "c": float("nan")}
    keep_numbers(logs, "Watch")
    assert logs["a"] == 0.5
    assert [type(value) for value in logs.values()] == [float, int, float]


def test_none_leaves_the_key_out() -> None:
    logs = {"a": None, "b": 1}
    keep_numbers(logs, "Watch")
    assert logs == {"b": 1}


def test_keys_of_the_record_are_not_for_callbacks() -> None:
    with pytest.raises(ValueError, match="Watch logged 'stage', which the record"):
        keep_numbers({"stage": 2}, "Watch", reserved=("stage",))


def test_key_that_is_no_text_is_refused() -> None:
    with pytest.raises(ValueError, match="Watch logged 7, a key of type int"):
        keep_numbers({7: 2}, "Watch")
