"""What a signature of a SavedModel takes and gives."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from dce_tf.serving.errors import invalid

Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]
"""Tensors by name; strings are arrays of bytes objects."""

_NAMES = {"float32": "float", "float64": "double"}


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """One tensor of a signature.

    Attributes:
        dtype: TensorFlow's type.
        shape: Its sizes, −1 for any; None if even their number is open.
    """

    dtype: tf.DType
    shape: tuple[int, ...] | None

    @property
    def type_name(self) -> str:
        """What TensorFlow Serving calls the type in its errors."""
        return _NAMES.get(self.dtype.name, self.dtype.name)

    @property
    def is_batched(self) -> bool:
        """Whether its first axis counts examples, any number of them."""
        return self.shape is not None and self.shape[:1] == (-1,)


@dataclasses.dataclass(frozen=True)
class Signature:
    """One function of a SavedModel.

    Attributes:
        name: What requests call it.
        method: TensorFlow Serving's kind of it, such as `tensorflow/serving/predict`.
        inputs: What it takes, by name.
        outputs: What it gives, by name.
    """

    name: str
    method: str
    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]

    @property
    def is_batched(self) -> bool:
        """Whether examples of several requests can go through it at once."""
        tensors = [*self.inputs.values(), *self.outputs.values()]
        return all(tensor.is_batched for tensor in tensors)

    def check(self, inputs: Arrays) -> None:
        """Checks the shapes of tensors that have the right names and types.

        Raises:
            ServingError: If one does not fit, or the inputs differ in their number of
                examples.
        """
        for name, spec in self.inputs.items():
            _check_shape(name, inputs[name].shape, spec.shape)
        sizes = {len(value) for value in inputs.values() if value.ndim}
        if self.is_batched and len(sizes) > 1:
            raise invalid(
                "Batching Run() input tensors must have equal 0th-dimension size, got "
                f"{', '.join(map(str, sorted(sizes)))}."
            )


def _check_shape(
    name: str, shape: tuple[int, ...], expected: tuple[int, ...] | None
) -> None:
    if expected is None:
        return
    fits = len(shape) == len(expected) and all(
        wanted in (-1, size) for size, wanted in zip(shape, expected, strict=True)
    )
    if not fits:
        raise invalid(
            f'Input tensor "{name}" has shape {_show(shape)}, expected '
            f"{_show(expected)}."
        )


def _show(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape))}]"


def read_signatures(definitions: Mapping[str, Any]) -> dict[str, Signature]:
    """Returns the signatures of a SavedModel.

    Args:
        definitions: Its `SignatureDef` protos by name.
    """
    return {
        name: Signature(
            name,
            proto.method_name,
            _read_tensors(proto.inputs),
            _read_tensors(proto.outputs),
        )
        for name, proto in definitions.items()
    }


def _read_tensors(infos: Mapping[str, Any]) -> dict[str, TensorSpec]:
    return {
        name: TensorSpec(tf.dtypes.as_dtype(info.dtype), _read_shape(info.tensor_shape))
        for name, info in sorted(infos.items())
        if info.dtype
    }


def _read_shape(proto: Any) -> tuple[int, ...] | None:
    return None if proto.unknown_rank else tuple(dim.size for dim in proto.dim)


def to_bytes_array(values: list[bytes]) -> Array:
    """Returns a string tensor; NumPy's own bytes type would drop zeros at the end."""
    array = np.empty(len(values), object)
    array[:] = values
    return array
