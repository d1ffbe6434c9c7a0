"""Reading JSON as TensorFlow Serving does: NaN, Infinity, and RapidJSON's errors."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

import orjson

from serving.errors import ServingError, invalid

_BOM = b"\xef\xbb\xbf"
_LITERALS = ("null", "true", "false", "NaN", "Infinity")
_SPACE = re.compile(r"[ \t\n\r]*")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
_TOO_BIG = "Number too big to be stored in double."
_SHOWN = 1000  # Characters of a value that an error quotes.
_WORDS = {
    "Expecting property name": "Missing a name for object member.",
    "Expecting ':' delimiter": "Missing a colon after a name of object member.",
    "Invalid control character": "Invalid encoding in string.",
    "Invalid \\uXXXX escape": "Incorrect hex digit after \\u escape in string.",
    "Invalid \\escape": "Invalid escape character in string.",
    "Unterminated string": "Missing a closing quotation mark in string.",
}


def parse(body: bytes) -> Any:
    """Reads a JSON text.

    Args:
        body: UTF-8, as it came. `NaN`, `Infinity` and `-Infinity` are numbers. Bytes
            that are no UTF-8 stay what they are: `encode` gives them back.

    Returns:
        Its value.

    Raises:
        ServingError: In the words of RapidJSON, which TensorFlow Serving reads with.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return _parse_again(body.removeprefix(_BOM))


def encode(text: str) -> bytes:
    """Returns the bytes of a string that `parse` gave."""
    return text.encode("utf-8", "surrogateescape")


def _parse_again(body: bytes) -> Any:
    """Reads what strict JSON is not, or says what is wrong with it."""
    text = body.decode("utf-8", "surrogateescape")
    try:
        value = json.loads(text, parse_float=_finite)
    except json.JSONDecodeError as error:
        raise _error(text, *_explain(text, error)) from None
    except RecursionError:
        raise invalid("JSON Parse error: Nested too deeply.") from None
    except ValueError:
        raise invalid(f"JSON Parse error: {_TOO_BIG}") from None
    for escape in _ESCAPE.finditer(text):
        if escape["lone"]:
            message = "The surrogate pair in string is invalid."
            raise _error(text, message, escape.start())
    return value


def _finite(text: str) -> float:
    value = float(text)
    if abs(value) == float("inf"):
        raise ValueError(text)
    return value


def _error(text: str, message: str, at: int) -> ServingError:
    offset = len(encode(text[:at]))
    return invalid(f"JSON Parse error: {message} at offset: {offset}")


def _explain(text: str, error: json.JSONDecodeError) -> tuple[str, int]:
    """Returns RapidJSON's message and place for what Python's parser found."""
    at, message = error.pos, error.msg
    if _skip_space(text, 0) == len(text):
        return "The document is empty.", len(text)
    if message.startswith(("Expecting ',' delimiter", "Extra data")):
        return _explain_end(text, at, extra=message == "Extra data")
    if message.startswith("Illegal trailing comma"):
        at = _skip_space(text, at + 1)
        message = "Expecting property name" if text[at] == "}" else "Expecting value"
    if message.startswith("Expecting value"):
        return "Invalid value.", at + _length_matched(text[at : at + 9])
    if message.startswith("Unterminated string"):
        at = len(text)
    elif message.startswith("Invalid \\uXXXX"):
        at -= 1
    found = (words for start, words in _WORDS.items() if message.startswith(start))
    return next(found, "Unspecific syntax error."), at


def _explain_end(text: str, at: int, *, extra: bool) -> tuple[str, int]:
    """Returns what is wrong after a value, where something else was expected."""
    number = at and text[at - 1].isdigit()
    if number and text[at : at + 1] == ".":
        return "Miss fraction part in number.", at + 1
    if number and text[at : at + 1] in ("e", "E"):
        return "Miss exponent in number.", at + 1 + (text[at + 1 : at + 2] in "+-")
    if extra:
        return "The document root must not be followed by other values.", at
    if _is_in_array(text[:at]):
        return "Missing a comma or ] after an array element.", at
    return "Missing a comma or } after an object member.", at


def _is_in_array(before: str) -> bool:
    """Returns whether the innermost bracket that is still open is a square one."""
    closed = 0
    for bracket in reversed(_BRACKET.findall(_STRING.sub("", before))):
        closed += 1 if bracket in "]}" else -1
        if closed < 0:
            return bool(bracket == "[")
    return False


def _skip_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _length_matched(text: str) -> int:
    """Returns how much of a literal is there before it goes wrong."""
    sign = 1 if text.startswith("-") else 0
    for literal in _LITERALS:
        if text[sign : sign + 1] == literal[0]:
            lengths = range(len(literal), 0, -1)
            return sign + next(
                size for size in lengths if text.startswith(literal[:size], sign)
            )
    return sign


def show(value: Any) -> str:
    """Returns a value as an error quotes it: indented, and cut where it is long."""
    shown = ""
    chunks = json.JSONEncoder(indent=4, ensure_ascii=False).iterencode(value)
    with contextlib.suppress(RecursionError):  # Far beyond what is shown.
        for chunk in chunks:
            shown += chunk[: _SHOWN + 1]
            if len(shown) > _SHOWN:
                break
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]} …"
