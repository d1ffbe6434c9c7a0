"""From JSON to tensors, in row and column form, with TensorFlow Serving's errors."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from serving.errors import ServingError, invalid
from serving.json_text import show
from serving.leaves import is_base64, read_leaves
from serving.signatures import Array, TensorSpec

Inputs = Mapping[str, TensorSpec]

_MAX_RANK = 254  # TensorFlow has no tensor of more axes.


def read_rows(instances: list[Any], inputs: Inputs, first: int = 0) -> dict[str, Array]:
    """Reads `instances`: an item an example, a value or an object by input's name.

    Args:
        instances: At least one.
        inputs: What the signature takes.
        first: The number of the first, for errors.

    Returns:
        Tensors by name; the first axis counts the instances.

    Raises:
        ServingError: If an item does not fit; the message has its number.
    """
    if _is_object(instances[0]):
        columns = _split_objects(instances, inputs, first)
        return {
            name: _stack(columns[name], spec, first, f" key: {name}")
            for name, spec in inputs.items()
        }
    if len(inputs) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple "
            "input tensors required as per tensorinfo_map"
        )
    for number, item in enumerate(instances, first):
        if _is_object(item):
            raise invalid(
                f"Expecting value/list but got object at item {number} of input list"
            )
    return {name: _stack(instances, spec, first) for name, spec in inputs.items()}


def read_columns(value: Any, inputs: Inputs) -> dict[str, Array]:
    """Reads `inputs`: a whole tensor, or an object of them by name.

    Raises:
        ServingError: If a tensor is missing or does not fit.
    """
    if not _is_object(value):
        if len(inputs) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple "
                "input tensors required as per tensorinfo_map"
            )
        return {name: read_tensor(value, spec) for name, spec in inputs.items()}
    missing = [name for name in inputs if name not in value]
    if missing:
        raise invalid(f"Missing named input: {missing[0]} in 'inputs' object.")
    return {name: read_tensor(value[name], spec) for name, spec in inputs.items()}


def read_tensor(value: Any, spec: TensorSpec) -> Array:
    """Reads one tensor: a value, or lists of lists of values.

    Args:
        value: What JSON gave.
        spec: Its type decides what values may be; its shape is not looked at.

    Raises:
        ServingError: If lists differ in length, or a value in type.
    """
    shape = []
    inner = value
    while isinstance(inner, list):
        shape.append(len(inner))
        if not inner or len(shape) > _MAX_RANK:
            break
        inner = inner[0]
    if len(shape) > _MAX_RANK:
        raise invalid(f"Lists nested deeper than {_MAX_RANK} are no tensor.")
    leaves = _flatten(value, shape)
    if leaves is None:
        raise _find_fault(value, 0, shape) or invalid("Lists differ in length.")
    return read_leaves(leaves, spec).reshape(shape)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not is_base64(value)


def _split_objects(
    instances: list[Any], inputs: Inputs, first: int
) -> dict[str, list[Any]]:
    for number, item in enumerate(instances, first):
        if not _is_object(item):
            raise invalid(
                f"Expecting object but got list at item {number} of input list"
            )
        unknown = [name for name in item if name not in inputs]
        if unknown:
            raise invalid(
                f"Failed to process element: {number} key: {unknown[0]} of "
                "'instances' list. Error: INVALID_ARGUMENT: JSON object: does not have "
                f"named input: {unknown[0]}"
            )
        if len(item) < len(inputs):
            raise invalid(
                f"Failed to process element: {number} of 'instances' list. JSON "
                f"object: {show(item)} must only have keys: {','.join(inputs)}"
            )
    return {name: [item[name] for item in instances] for name in inputs}


def _stack(values: list[Any], spec: TensorSpec, first: int, key: str = "") -> Array:
    """Reads examples as one tensor; on failure looks for the one at fault."""
    try:
        return read_tensor(values, spec)
    except ServingError as error:
        failure = error
    model: Array | None = None
    for number, value in enumerate(values, first):
        try:
            array = read_tensor(value, spec)
            model = array if model is None else model
            _check_alike(model, array)
        except ServingError as error:
            raise invalid(
                f"Failed to process element: {number}{key} of 'instances' list. Error: "
                f"{error.code}: {error.message}"
            ) from None
    raise failure


def _check_alike(first: Array, array: Array) -> None:
    if array.size != first.size:
        raise invalid(f"Expecting tensor size: {first.size} but got: {array.size}")
    if array.shape != first.shape:
        expected, got = (
            str(list(each.shape)).replace(" ", "") for each in (first, array)
        )
        raise invalid(f"Expecting shape {expected} but got: {got}")


def _flatten(value: Any, shape: list[int]) -> list[Any] | None:
    """Returns the values in lists of this shape; None if the lists have another."""
    level = [value]
    for size in shape:
        if set(map(type, level)) - {list} or set(map(len, level)) - {size}:
            return None
        level = list(itertools.chain.from_iterable(level))
    return None if list in set(map(type, level)) else level


def _find_fault(value: Any, level: int, shape: list[int]) -> ServingError | None:
    """Returns what is first wrong with lists that do not have this shape."""
    fault = _fault_at(value, level, shape)
    if fault is None and isinstance(value, list):
        below = (_find_fault(item, level + 1, shape) for item in value)
        fault = next((each for each in below if each is not None), None)
    return fault


def _fault_at(value: Any, level: int, shape: list[int]) -> ServingError | None:
    rank = len(shape)
    if not isinstance(value, list):
        if level == rank:
            return None
        return invalid(
            f"JSON Value: {show(value)} found at incorrect level: {level + 1} in the "
            f"JSON DOM. Expected at level: {rank}"
        )
    if level >= rank:
        return invalid(
            f"Encountered list at unexpected level: {level} expected < {rank}"
        )
    if len(value) != shape[level]:
        return invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} "
            f"expected size: {shape[level]}"
        )
    return None
