"""How much a JSON text becomes, by a look at its bytes before anybody reads it."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from dce_tf.serving.limits import VALUE_BYTES

_BLOCK = 2**20  # Bytes looked at together; they stay in the processor's cache.
_COMMA, _COLON, _OPENING, _BACKSLASH, _CODE = b",:{\\u"
_SMALL_LETTER = 0x20  # Makes `[` a `{`.
# PHP writes the slashes of base64, one letter of 64, with a backslash.
_ESCAPES_PER_VALUE = 16
_BEYOND_LATIN_1, _FOUR_BYTES = 0xC4, 0xF0  # First bytes of letters in UTF-8.
_WIDEST = 4  # Bytes of a letter in Python.


@dataclasses.dataclass(frozen=True)
class JsonSize:
    """Bounds on a JSON text.

    Attributes:
        length: Its bytes.
        values: Its values.
        letter_bytes: What Python takes for a letter of its widest string.
    """

    length: int
    values: int
    letter_bytes: int

    @property
    def read_bytes(self) -> int:
        """Memory that it takes once it is read: its strings, what base64 is, values."""
        return self.length * (self.letter_bytes + 1) + VALUE_BYTES * self.values


def measure_json(text: bytes, most: int) -> JsonSize:
    """Bounds a JSON text.

    Every value but the first follows a comma, a colon or an opening bracket. Those that
    stand in strings are counted also, and escapes, which take time as values do.

    Args:
        text: The JSON text.
        most: Values at which counting may end, as there are too many.
    """
    # NumPy lets other threads run meanwhile, which the methods of `bytes` do not.
    array = np.frombuffer(text, np.uint8)
    count, escapes, width = 1, 0, 1
    for start in range(0, len(array), _BLOCK):
        block = array[start : start + _BLOCK + 1]
        own = block[:_BLOCK]  # The byte behind it may say what its last escape is.
        count += _count(own == _COMMA) + _count(own == _COLON)
        count += _count(own | _SMALL_LETTER == _OPENING)
        number = _count(own == _BACKSLASH)
        escapes += number
        if width < _WIDEST:
            width = max(width, _letter_bytes(block, has_escapes=number > 0))
        if count + escapes // _ESCAPES_PER_VALUE > most:
            break
    values = count + escapes // _ESCAPES_PER_VALUE
    return JsonSize(len(text), values, width)


def _count(mask: npt.NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(mask))


def _letter_bytes(block: npt.NDArray[np.uint8], *, has_escapes: bool) -> int:
    highest = block.max(initial=0)
    if has_escapes:
        codes = (block[:-1] == _BACKSLASH) & (block[1:] == _CODE)
        if codes.any():
            return _WIDEST
    if highest >= _FOUR_BYTES:
        return _WIDEST
    return 2 if highest >= _BEYOND_LATIN_1 else 1
