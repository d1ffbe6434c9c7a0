"""The single values of a tensor in JSON: numbers, text, and base64 for bytes."""

from __future__ import annotations

import binascii
import re
from typing import Any

import ml_dtypes
import numpy as np

from serving.errors import ServingError, invalid
from serving.json_text import encode, show
from serving.signatures import Array, TensorSpec, to_bytes_array

_finfo: Any = ml_dtypes.finfo  # NumPy's knows no bfloat16.
_SPACE = re.compile(r"[ \t\n\v\f\r]+")
_BASE64 = re.compile(r"[A-Za-z0-9+/]*")
_KINDS = {
    type(None): "Null",
    dict: "Object",
    list: "Array",
    str: "String",
    int: "Number",
    float: "Number",
}


def read_leaves(leaves: list[Any], spec: TensorSpec) -> Array:
    """Returns values as a flat tensor.

    Args:
        leaves: What JSON has where no lists are left.
        spec: Its type decides what values may be.

    Raises:
        ServingError: If one is of another type, or would not be the same number.
    """
    if spec.dtype.name == "string":
        values = [_to_bytes(leaf, spec) for leaf in leaves]
        return to_bytes_array(values)
    return _to_numbers(leaves, spec)


def is_base64(value: Any) -> bool:
    """Returns whether an object is TensorFlow Serving's way to write bytes."""
    return isinstance(value, dict) and len(value) == 1 and type(value.get("b64")) is str


def decode_base64(text: str) -> bytes:
    """Decodes base64, as TensorFlow Serving does: spaces and padding are optional.

    Raises:
        ServingError: If it is none.
    """
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        cleaned = _SPACE.sub("", text)
    data = cleaned.rstrip("=.")
    padding, needed = len(cleaned) - len(data), -len(data) % 4
    if not _BASE64.fullmatch(data) or needed == 3 or padding not in (0, needed):
        raise invalid("Unable to base64 decode")
    return binascii.a2b_base64(data + "=" * needed)


def _to_bytes(leaf: Any, spec: TensorSpec) -> bytes:
    if type(leaf) is str:
        return encode(leaf)
    if is_base64(leaf):
        return decode_base64(leaf["b64"])
    if type(leaf) is dict:
        raise invalid(
            f"JSON Value: {show(leaf)} not formatted correctly for base64 data"
        )
    raise _type_error(leaf, spec)


def _to_numbers(leaves: list[Any], spec: TensorSpec) -> Array:
    if spec.dtype.is_floating:
        _check_types(leaves, {int, float}, spec)
        return _to_floats(leaves, spec)
    if spec.dtype.is_integer:
        _check_types(leaves, {int}, spec)
        return _to_integers(leaves, spec)
    if spec.dtype.is_bool:
        _check_types(leaves, {bool}, spec)
        return np.array(leaves, np.bool_)
    raise ServingError(
        "UNIMPLEMENTED", f"Conversion of JSON values to type: {spec.type_name}"
    )


def _to_floats(leaves: list[Any], spec: TensorSpec) -> Array:
    info = _finfo(spec.dtype.as_numpy_dtype)
    largest = 2 ** (info.nmant + 1) - 1
    for leaf in leaves:
        if type(leaf) is int and not -largest <= leaf <= largest:
            raise _precision_error(leaf, spec)
    array = np.array(leaves, np.float64)
    outside = np.isfinite(array) & (np.abs(array) > float(info.max))
    if outside.any():
        raise _precision_error(leaves[int(outside.argmax())], spec)
    return array.astype(spec.dtype.as_numpy_dtype)


def _to_integers(leaves: list[Any], spec: TensorSpec) -> Array:
    info = np.iinfo(spec.dtype.as_numpy_dtype)
    for leaf in leaves:
        if not info.min <= leaf <= info.max:
            raise _type_error(leaf, spec)
    return np.array(leaves, spec.dtype.as_numpy_dtype)


def _check_types(leaves: list[Any], allowed: set[type], spec: TensorSpec) -> None:
    if set(map(type, leaves)) - allowed:
        raise _type_error(
            next(leaf for leaf in leaves if type(leaf) not in allowed), spec
        )


def _type_error(leaf: Any, spec: TensorSpec) -> ServingError:
    kind = str(leaf) if type(leaf) is bool else _KINDS[type(leaf)]
    return invalid(
        f"JSON Value: {show(leaf)} Type: {kind} is not of expected type: "
        f"{spec.type_name}"
    )


def _precision_error(leaf: Any, spec: TensorSpec) -> ServingError:
    return invalid(
        f"Cannot convert JSON value: {show(leaf)} to {spec.type_name} without loss of "
        "precision."
    )
