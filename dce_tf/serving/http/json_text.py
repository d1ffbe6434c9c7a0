"""Reading JSON with RapidJSON, as TensorFlow Serving does."""

from __future__ import annotations

import codecs
import json
import re
from typing import Any, BinaryIO, cast

import rapidjson

from dce_tf.serving.errors import ServingError, invalid

_BOM = b"\xef\xbb\xbf"
_SHOWN = 256  # Bytes of a value that an error quotes.
_DEEPEST = 256  # Brackets within brackets; no tensor has as many axes.
_AT_ONCE = 2**18  # Bytes read before other threads may run; a few milliseconds.
_ROOT = "The document root must not be followed by other values."
_FAILURE = re.compile(r"Parse error at offset (\d+): (.*)", re.DOTALL)
_STRING_OR_BRACKET = re.compile(
    rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|([\[{])|[\]}]', re.DOTALL
)


class _Decoder(rapidjson.Decoder):
    """Keeps the first of repeated keys, which is what RapidJSON finds."""

    def start_object(self) -> list[tuple[str, Any]]:
        """Returns what collects the members of an object."""
        return []

    def end_object(self, members: list[tuple[str, Any]]) -> dict[str, Any]:
        """Returns the object."""
        found = dict(members)
        return found if len(found) == len(members) else dict(reversed(members))


# NaN and Infinity are numbers.
_EXACT = _Decoder(number_mode=rapidjson.NM_NAN)
# Three times as fast. The last digit of a number may be another, and whole numbers of
# more than 64 bits become floats.
_FAST = _Decoder(number_mode=rapidjson.NM_NATIVE | rapidjson.NM_NAN)


def parse(body: bytes, *, exact: bool = True) -> Any:
    """Reads a JSON text.

    Args:
        body: UTF-8, as it came. What follows the document is not read. Of a document
            that is nested too deeply for Python, what lies below 256 levels is read as
            empty lists.
        exact: Whether numbers are to be read to their last digit, and not only as
            TensorFlow Serving reads them.

    Returns:
        Its value.

    Raises:
        ServingError: In the words of RapidJSON, which TensorFlow Serving reads with.
    """
    text = body.removeprefix(_BOM)
    try:
        return _decode(text, _EXACT if exact else _FAST)
    except RecursionError:
        return parse(_without_depths(text), exact=exact)
    except UnicodeDecodeError:
        return _parse_invalid(text, exact)
    except ValueError as error:  # Also of a number of more digits than Python reads.
        message, at = _read_failure(str(error))
    if message == _ROOT:
        return parse(text[:at], exact=exact)
    offset = at + len(body) - len(text)
    raise invalid(f"JSON Parse error: {message} at offset: {offset}")


def _decode(text: bytes, decoder: _Decoder) -> Any:
    if len(text) <= _AT_ONCE:
        return decoder(text)
    # Of a file RapidJSON checks only what it makes strings of.
    if _valid_length(text) < len(text):
        return _parse_invalid(text, decoder is _EXACT)
    return decoder(cast(BinaryIO, _Pieces(text)), chunk_size=_AT_ONCE)


class _Pieces:
    """A long text as a file, so that others may run between its pieces.

    Python lets them only where one of its own functions is called: a single string or
    number of many megabytes would keep everybody waiting while it is read.
    """

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._place = 0

    def read(self, size: int) -> bytes:
        """Returns the next bytes, no more than there are."""
        start, self._place = self._place, self._place + size
        return self._text[start : self._place]


def show(value: Any) -> str:
    """Returns a value as an error quotes it: on one line, and cut where it is long."""
    encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
    shown = b""
    for chunk in encoder.iterencode(value):
        shown += chunk[:_SHOWN].encode()
        if len(shown) >= _SHOWN:
            break
    return shown[:_SHOWN].decode(errors="ignore")


def _read_failure(text: str) -> tuple[str, int]:
    """Returns the message and the offset of an error of the Python binding."""
    found = _FAILURE.fullmatch(text)
    if found is None:
        return text, 0
    # The binding puts brackets in quotes, RapidJSON itself does not.
    return found[2].replace("'", ""), int(found[1])


def _parse_invalid(text: bytes, exact: bool) -> Any:
    """Reads bytes that are not all UTF-8; those after the document do not matter."""
    valid = text[: _valid_length(text)]
    try:
        return parse(valid, exact=exact)
    except ServingError:
        message = f"Invalid encoding in string. at offset: {len(valid)}"
        raise invalid(f"JSON Parse error: {message}") from None


def _valid_length(text: bytes) -> int:
    """Returns how many bytes at the beginning are UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(text), _AT_ONCE):
        cut_off = len(decoder.getstate()[0])  # Of the last letter of the piece before.
        following = start + _AT_ONCE
        try:
            decoder.decode(text[start:following], final=following >= len(text))
        except UnicodeDecodeError as error:
            return start - cut_off + error.start
    return len(text)


def _without_depths(text: bytes) -> bytes:
    """Returns a JSON text with empty lists for what is nested too deeply.

    RapidJSON can read any depth, but not into Python's objects.
    """
    kept, depth, start = [], 0, 0
    for token in _STRING_OR_BRACKET.finditer(text):
        if token[1]:
            depth += 1
            if depth == _DEEPEST + 1:
                kept.append(text[start : token.start()])
        elif token[0] in (b"]", b"}"):
            if depth == _DEEPEST + 1:
                kept.append(b"[]")
                start = token.end()
            depth -= 1
    if depth <= _DEEPEST:
        kept.append(text[start:])
    return b"".join(kept)
