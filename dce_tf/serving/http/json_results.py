"""From tensors to JSON, in row and column form, as TensorFlow Serving writes it."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import orjson

from dce_tf.serving.errors import invalid
from dce_tf.serving.model.signatures import Array, Arrays

_BYTES_SUFFIX = "_bytes"  # Outputs so called are base64, other strings are text.


def write_rows(outputs: Arrays) -> bytes:
    """Writes `predictions`: one item per example.

    Args:
        outputs: Tensors by name; the first axis counts the examples. Of a single one
            the name is left out.

    Raises:
        ServingError: If they are not batches of one size, or no JSON has their type.
    """
    _check_batches(outputs)
    return write({"predictions": rows_of(outputs)})


def write_columns(outputs: Arrays) -> bytes:
    """Writes `outputs`: a whole tensor, or an object of them by name."""
    plain = _plain_all(outputs)
    return write({"outputs": plain if len(plain) > 1 else next(iter(plain.values()))})


def rows_of(outputs: Arrays) -> Any:
    """Returns what `write` takes for the examples of a batch: one item each."""
    plain = _plain_all(outputs)
    if len(plain) == 1:
        return next(iter(plain.values()))
    rows = zip(*plain.values(), strict=True)
    return [dict(zip(plain, values, strict=True)) for values in rows]


def write(value: Any) -> bytes:
    """Writes lists, objects and arrays as JSON; NaN and infinities as JavaScript has.

    Numbers have as many digits as it takes to read the same float32 again.
    """
    if _is_finite(value):
        return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
    text = json.dumps(value, default=_to_lists, ensure_ascii=False)
    return text.encode("utf-8", "replace")


def _check_batches(outputs: Arrays) -> None:
    sizes: dict[str, int] = {}
    for name, array in sorted(outputs.items()):
        if not array.ndim:
            raise invalid(f"Tensor name: {name} has no shape information ")
        expected = next(iter(sizes.values()), len(array))
        if len(array) != expected:
            raise invalid(
                f"Tensor name: {name} has inconsistent batch size: {len(array)} "
                f"expecting: {expected}"
            )
        sizes[name] = len(array)


def _plain_all(outputs: Arrays) -> dict[str, Any]:
    if not outputs:
        raise invalid("Cannot convert empty tensor map to JSON")
    return {name: _plain(name, outputs[name]) for name in sorted(outputs)}


def _plain(name: str, array: Array) -> Any:
    """Returns what can be written of a tensor."""
    if array.dtype == object:
        write_one = _to_base64 if name.endswith(_BYTES_SUFFIX) else _to_text
        written = np.empty(array.size, object)
        written[:] = [write_one(value) for value in array.ravel()]
        return written.reshape(array.shape).tolist()
    if array.dtype.name == "bfloat16":
        return array.astype(np.float32)
    if array.dtype.kind in "biuf":
        return np.ascontiguousarray(array) if array.ndim else array[()]
    raise invalid(f"Failed to write JSON value for tensor type: {array.dtype.name}")


def _to_base64(value: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(value).decode()}


def _to_text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _is_finite(value: Any) -> bool:
    """Returns whether no number is NaN or infinite, which orjson writes as null."""
    if isinstance(value, np.ndarray | np.generic):
        return value.dtype.kind != "f" or bool(np.isfinite(value).all())
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    return not isinstance(value, list) or all(map(_is_finite, value))


def _to_lists(value: Any) -> Any:
    # By way of text, or a float32 would get the digits of a float64.
    array = np.asarray(value)
    short = array.astype(str).astype(np.float64) if array.dtype.kind == "f" else array
    return short.tolist()
