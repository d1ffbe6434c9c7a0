"""Tensors of gRPC calls."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from dce_tf.serving.errors import invalid
from dce_tf.serving.model.signatures import Array, Arrays, Signature, TensorSpec

_POINTER_BYTES = 8  # What an array has of each text.


def check_inputs(protos: Mapping[str, Any], signature: Signature, most: int) -> int:
    """Checks the inputs of a call before anybody reads them.

    Args:
        protos: `TensorProto`s by name.
        signature: What is called.
        most: Bytes they may have together.

    Returns:
        How many bytes they have as arrays, which may be far more than they came with.

    Raises:
        ServingError: If one is missing, unknown, too large, or of another type.
    """
    given, taken = set(protos), set(signature.inputs)
    if len(given) == len(taken) and given != taken:
        raise invalid(
            f"input tensor alias not found in signature: {min(given - taken)}. Inputs "
            f"expected to be in the set {{{','.join(sorted(taken))}}}."
        )
    if given != taken:
        extra, missing = (
            ",".join(sorted(each)) for each in (given - taken, taken - given)
        )
        raise invalid(
            f"input size does not match signature: {len(given)}!={len(taken)} "
            f"len({{{','.join(sorted(given))}}}) != "
            f"len({{{','.join(sorted(taken))}}}). "
            f"Sent extra: {{{extra}}}. Missing but required: {{{missing}}}."
        )
    total = 0
    for name, spec in signature.inputs.items():
        total += _check_tensor(name, protos[name], spec, most - total)
    return total


def read_inputs(protos: Mapping[str, Any], signature: Signature) -> Arrays:
    """Reads the inputs of a call that were checked.

    Raises:
        ServingError: If one is damaged.
    """
    return {name: _read_tensor(name, protos[name]) for name in signature.inputs}


def _check_tensor(name: str, proto: Any, spec: TensorSpec, most: int) -> int:
    if proto.dtype != spec.dtype.as_datatype_enum:
        given = tf.dtypes.as_dtype(proto.dtype).name if proto.dtype else "nothing"
        raise invalid(f"Expects {name} to be {spec.dtype.name} but {given} is provided")
    sizes = [dim.size for dim in proto.tensor_shape.dim]
    if min(sizes, default=0) < 0:
        raise invalid(f"tensor parsing error: {name}")
    num_bytes = _num_bytes(proto, math.prod(sizes), spec)
    if num_bytes > most:
        raise invalid(
            f"tensor parsing error: {name} has {math.prod(sizes):,} values of "
            f"{num_bytes:,} bytes, and at most {most:,} bytes are taken. Send fewer at "
            "once."
        )
    return num_bytes


def _read_tensor(name: str, proto: Any) -> Array:
    try:
        return np.asarray(tf.make_ndarray(proto))
    except (TypeError, ValueError):
        raise invalid(f"tensor parsing error: {name}") from None


def _num_bytes(proto: Any, num_values: int, spec: TensorSpec) -> int:
    """Returns how long a tensor is in memory.

    As a message it may be shorter: its last value stands for all that are not there.
    """
    if spec.dtype != tf.string:
        return num_values * int(spec.dtype.size)
    lengths = [len(text) for text in proto.string_val]
    missing = max(0, num_values - len(lengths))
    repeated = missing * lengths[-1] if lengths else 0
    return num_values * _POINTER_BYTES + sum(lengths) + repeated


def wanted_outputs(names: Sequence[str], signature: Signature) -> list[str]:
    """Returns the outputs a call asks for; all if it names none.

    Raises:
        ServingError: If one is unknown, or named twice.
    """
    for name in names:
        if name not in signature.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {name} Outputs expected "
                f"to be in the set {{{','.join(signature.outputs)}}}."
            )
        if list(names).count(name) > 1:
            raise invalid(f"duplicate output tensor alias: {name}")
    return list(names) or list(signature.outputs)
