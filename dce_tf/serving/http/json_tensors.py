"""From JSON to tensors, in row and column form, with TensorFlow Serving's errors."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from dce_tf.serving.errors import ServingError, invalid
from dce_tf.serving.http.json_text import show
from dce_tf.serving.http.json_values import is_base64, read_leaves
from dce_tf.serving.model.signatures import Array, TensorSpec

Inputs = Mapping[str, TensorSpec]

_MAX_RANK = 64  # NumPy has no array of more axes.


def read_rows(instances: list[Any], inputs: Inputs, first: int = 0) -> dict[str, Array]:
    """Reads `instances`: one item per example, a value or an object by input's name.

    Args:
        instances: At least one.
        inputs: What the signature takes.
        first: The number of the first, for errors.

    Returns:
        Tensors by name; the first axis counts the instances.

    Raises:
        ServingError: If an item does not fit; the message has its number.
    """
    if not _is_object(instances[0]) and len(inputs) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple "
            "input tensors required as per tensorinfo_map"
        )
    try:
        columns = _to_columns(instances, inputs)
        return {name: read_tensor(columns[name], inputs[name]) for name in inputs}
    except ServingError:
        _check_each(instances, inputs, first)  # Says which of them is at fault.
        raise


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
        raise invalid(
            f"Lists are nested more than {_MAX_RANK} deep, and no tensor here has as "
            "many axes."
        )
    leaves = _flatten(value, shape)
    if leaves is None:
        raise _find_fault(value, 0, shape) or invalid("Lists differ in length.")
    return read_leaves(leaves, spec).reshape(shape)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not is_base64(value)


def _to_columns(instances: list[Any], inputs: Inputs) -> dict[str, list[Any]]:
    """Returns the values of all instances by input's name, if these are alike."""
    are_objects = set(map(_is_object, instances))
    if are_objects == {False}:
        return dict.fromkeys(inputs, instances)
    if len(are_objects) > 1 or any(item.keys() != inputs.keys() for item in instances):
        raise invalid("Instances differ in what they name.")
    return {name: [item[name] for item in instances] for name in inputs}


def _check_each(instances: list[Any], inputs: Inputs, first: int) -> None:
    """Checks one instance after the other, each against the first.

    Raises:
        ServingError: If one does not fit; the message has its number.
    """
    named = _is_object(instances[0])
    models: dict[str, Array] = {}
    for number, item in enumerate(instances, first):
        if _is_object(item) != named:
            expected, got = ("object", "list") if named else ("value/list", "object")
            raise invalid(
                f"Expecting {expected} but got {got} at item {number} of input list"
            )
        for name, value in (item if named else dict.fromkeys(inputs, item)).items():
            try:
                _check_value(name, value, inputs, models)
            except ServingError as error:
                key = f" key: {name}" if named else ""
                raise invalid(
                    f"Failed to process element: {number}{key} of 'instances' list. "
                    f"Error: {error.code}: {error.message}"
                ) from None
        if named and item.keys() != inputs.keys():
            raise invalid(
                f"Failed to process element: {number} of 'instances' list. JSON "
                f"object: {show(item)} keys must be equal to: {','.join(inputs)}"
            )


def _check_value(
    name: str, value: Any, inputs: Inputs, models: dict[str, Array]
) -> None:
    """Checks one value of an instance against what the first instance has there."""
    if name not in inputs:
        raise invalid(f"JSON object: does not have named input: {name}")
    array = read_tensor(value, inputs[name])
    model = models.setdefault(name, array)
    if array.size != model.size:
        raise invalid(f"Expecting tensor size: {model.size} but got: {array.size}")
    if array.shape != model.shape:
        expected, got = (
            str(list(each.shape)).replace(" ", "") for each in (model, array)
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
