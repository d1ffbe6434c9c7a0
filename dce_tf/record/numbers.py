"""What callbacks may log: numbers, of whatever library."""

from __future__ import annotations

import decimal
import numbers
from collections.abc import Collection
from typing import Any

import numpy as np

Number = int | float


def as_number(value: Any) -> Number:
    """Returns a number of any library as one of Python.

    Args:
        value: An int, float, bool, fraction or decimal, a scalar of NumPy, or an array,
            tensor or variable of shape `()` of any library, of any width.

    Raises:
        TypeError: If it is anything else.
    """
    if isinstance(value, bool | np.bool_ | numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real | decimal.Decimal):
        return float(value)
    array = _as_array(value)
    if array is None or array.ndim or array.dtype.names or array.dtype.kind in "OSUMmc":
        raise TypeError(_described(value, array))
    if array.dtype.kind in "biu":
        return int(array)
    # bfloat16 is no kind that NumPy knows, but becomes a float.
    return float(array.astype(np.float64))


def _as_array(value: Any) -> np.ndarray[Any, Any] | None:
    # A tensor in bfloat16 becomes an array in this way only.
    own = getattr(value, "numpy", None)
    try:
        return np.asarray(own() if callable(own) else value)
    except (TypeError, ValueError):
        return None


def keep_numbers(logs: dict[str, Any], by: str, reserved: Collection[str] = ()) -> None:
    """Makes plain numbers of what a callback logged.

    A value of None says that there is none, and its key is left out.

    Args:
        logs: By key; changed in place.
        by: Who logged, for the message.
        reserved: Keys that are not for callbacks.

    Raises:
        ValueError: If a value is no number, or a key is not the callback's to set.
    """
    for key, value in list(logs.items()):
        reason = _why_not(key, reserved)
        if reason is not None:
            raise ValueError(f"{by} logged {key!r}, {reason}")
        if value is None:
            del logs[key]
            continue
        try:
            logs[key] = as_number(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(
                f"{by} logged {key!r}: {error}; expected one number. Log a number for "
                f"each key, such as logs[{key!r}] = float(array.mean()), and write "
                "arrays and text to a file of your own."
            ) from error


def _why_not(key: Any, reserved: Collection[str]) -> str | None:
    if not isinstance(key, str):
        return f"a key of type {type(key).__name__}; expected a text such as 'score'."
    if key in reserved:
        return (
            "which the record of the epoch sets itself. Log it under another key, such "
            f"as 'my_{key}'."
        )
    return None


def _described(value: Any, array: np.ndarray[Any, Any] | None) -> str:
    kind = type(value).__name__
    if isinstance(value, str | bytes):
        return f"the text {value!r}"
    if array is None or array.dtype.kind == "O":
        return f"an object of type {kind}"
    shape = f" of shape {array.shape}" if array.ndim else ""
    return f"{kind}{shape}, dtype {array.dtype}"
