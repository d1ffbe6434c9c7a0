"""The single values of a tensor in JSON: numbers, text, and base64 for bytes."""

from __future__ import annotations

import binascii
import io
import string
from typing import Any

import numpy as np

from dce_tf.serving.errors import ServingError, invalid
from dce_tf.serving.http.json_text import show
from dce_tf.serving.model.signatures import Array, TensorSpec, to_bytes_array

_SPACE = b" \t\n\v\f\r"
_AT_ONCE = 2**20  # Letters decoded before other threads may run; whole fours of them.
_BASE64 = (string.ascii_letters + string.digits + "+/").encode()
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
        ServingError: If one is of another type, or a whole number that the type cannot
            hold.
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
        return _decode_strictly(text)
    except ValueError:
        # `translate`, as a regular expression takes a second for a long text, and lets
        # nobody else run meanwhile.
        cleaned = text.encode("utf-8", "replace").translate(None, _SPACE)
    data = cleaned.rstrip(b"=.")
    padding, needed = len(cleaned) - len(data), -len(data) % 4
    if data.translate(None, _BASE64) or needed == 3 or padding not in (0, needed):
        raise invalid("Unable to base64 decode")
    return _decode_strictly(data + b"=" * needed)


def _decode_strictly(text: str | bytes) -> bytes:
    """Decodes base64 in pieces; each but the last must fill its bytes."""
    decoded = io.BytesIO()
    for start in range(0, len(text), _AT_ONCE):
        if start and decoded.tell() % 3:
            raise ValueError("There is padding before the end.")
        piece = text[start : start + _AT_ONCE]
        decoded.write(binascii.a2b_base64(piece, strict_mode=True))
    return decoded.getvalue()


def _to_bytes(leaf: Any, spec: TensorSpec) -> bytes:
    if type(leaf) is str:
        return leaf.encode()
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
        "UNIMPLEMENTED",
        f"Conversion of JSON Value: {show(leaves[0] if leaves else [])} to type: "
        f"{spec.type_name}",
    )


def _to_floats(leaves: list[Any], spec: TensorSpec) -> Array:
    with np.errstate(over="ignore"):  # What is too large for the type is infinite.
        return np.array(leaves, np.float64).astype(spec.dtype.as_numpy_dtype)


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
