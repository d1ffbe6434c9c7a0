"""How much a `PredictRequest` becomes, by a walk over its fields before it is parsed.

Thirty million empty texts fit into a message of 64 MB, and take half a gigabyte and
seconds in which nobody else runs once they are objects. Here each field is one step.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

import numpy as np

from dce_tf.serving.limits import VALUE_BYTES

_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5  # Wire types.
_LONGEST_VARINT = 10
# Numbers of fields in `PredictRequest`, in an entry of its map, and in `TensorProto`.
_INPUTS, _VALUE = 2, 2
_SHAPE = 2
_FLOATS = {5: 4, 6: 8, 9: 4, 12: 8}  # float_val, double_val, and the complex ones.
_VARINTS = frozenset({7, 10, 11, 13, 16, 17})  # int_val, int64_val, bool_val, …


@dataclasses.dataclass(frozen=True)
class MessageSize:
    """Bounds on a message.

    Attributes:
        length: Its bytes.
        values: Its fields and the numbers and texts of its tensors. What stands in
            `tensor_content` or within a text is none.
    """

    length: int
    values: int

    @property
    def read_bytes(self) -> int:
        """Memory that it takes once it is read: a message, its values."""
        return self.length + VALUE_BYTES * self.values


class _Walk:
    def __init__(self, data: bytes, most: int) -> None:
        self._data = data
        self._most = most
        self.values = 0

    def request(self, start: int, end: int) -> None:
        for number, first, last in self._fields(start, end):
            if number == _INPUTS:
                self._entry(first, last)

    def _entry(self, start: int, end: int) -> None:
        for number, first, last in self._fields(start, end):
            if number == _VALUE:
                self._tensor(first, last)

    def _tensor(self, start: int, end: int) -> None:
        for number, first, last in self._fields(start, end):
            if number in _FLOATS:
                self.values += (last - first) // _FLOATS[number]
            elif number in _VARINTS:
                self._count_varints(first, last)
            elif number == _SHAPE:
                self.values += (last - first) // 2  # No axis is shorter.

    def _count_varints(self, start: int, end: int) -> None:
        packed = np.frombuffer(self._data, np.uint8, end - start, start)
        self.values += int(np.count_nonzero(packed < 0x80))

    def _fields(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """Counts fields; yields number, beginning and end of those that are bytes."""
        place = start
        while place < end and self.values <= self._most:
            tag, place = self._varint(place)
            number, kind = tag >> 3, tag & 7
            self.values += 1  # A group begins and ends with a field that has no more.
            if kind == _VARINT:
                _, place = self._varint(place)
            elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
                place += 8 if kind == _EIGHT_BYTES else 4
            elif kind == _BYTES:
                length, place = self._varint(place)
                first, place = place, min(place + length, end)
                yield number, first, place

    def _varint(self, place: int) -> tuple[int, int]:
        value = 0
        for shift in range(_LONGEST_VARINT):
            byte = self._data[place + shift]
            value |= (byte & 0x7F) << (7 * shift)
            if byte < 0x80:
                return value, place + shift + 1
        raise IndexError


def measure_request(data: bytes, most: int) -> MessageSize:
    """Bounds a `PredictRequest`.

    Args:
        data: It, as it came. Where it is damaged, the walk ends: that is for whoever
            parses it to say.
        most: Values at which the walk may end, as there are too many.
    """
    walk = _Walk(data, most)
    with contextlib.suppress(IndexError):
        walk.request(0, len(data))
    return MessageSize(len(data), walk.values)


def measure_small(data: bytes, most: int) -> MessageSize:
    """Bounds any other message, which is short."""
    return MessageSize(len(data), min(len(data) // 2, most))
