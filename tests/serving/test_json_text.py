import json
import math

import pytest

from serving.errors import ServingError
from serving.json_text import encode, parse, show

# What RapidJSON itself says, from its Python binding.
ERRORS = [
    (b"  ", "The document is empty. at offset: 2"),
    (b"{", "Missing a name for object member. at offset: 1"),
    (b"{'a':1}", "Missing a name for object member. at offset: 1"),
    (b'{"a":1,}', "Missing a name for object member. at offset: 7"),
    (b'{"a" 1}', "Missing a colon after a name of object member. at offset: 5"),
    (b'{"a":}', "Invalid value. at offset: 5"),
    (b'{"a":tru}', "Invalid value. at offset: 8"),
    (b'{"a":-}', "Invalid value. at offset: 6"),
    (b'{"a":Infinit}', "Invalid value. at offset: 12"),
    (b"[1,]", "Invalid value. at offset: 3"),
    (b"[1 2]", "Missing a comma or ] after an array element. at offset: 3"),
    (b'{"a":["]" 2]}', "Missing a comma or ] after an array element. at offset: 10"),
    (b'{"a":[1,2}', "Missing a comma or ] after an array element. at offset: 9"),
    (b'{"a":{"b":1]', "Missing a comma or } after an object member. at offset: 11"),
    (b'{"a":[] 1}', "Missing a comma or } after an object member. at offset: 8"),
    (b'{"a":01}', "Missing a comma or } after an object member. at offset: 6"),
    (
        '{"é":1 2}'.encode(),
        "Missing a comma or } after an object member. at offset: 8",
    ),
    (
        b'{"a":1}x',
        "The document root must not be followed by other values. at offset: 7",
    ),
    (b'{"a":"x', "Missing a closing quotation mark in string. at offset: 7"),
    (b'{"a":"\\x"}', "Invalid escape character in string. at offset: 6"),
    (
        b'{"a":"\\u12g4"}',
        "Incorrect hex digit after \\u escape in string. at offset: 6",
    ),
    (b'{"a":"\\ud800"}', "The surrogate pair in string is invalid. at offset: 6"),
    (b'{"a":"\\\\\\udc00"}', "The surrogate pair in string is invalid. at offset: 8"),
    (b'{"a":"\x01"}', "Invalid encoding in string. at offset: 6"),
    (b'{"a":1.}', "Miss fraction part in number. at offset: 7"),
    (b'{"a":1e}', "Miss exponent in number. at offset: 7"),
    (b'{"a":1e+}', "Miss exponent in number. at offset: 8"),
    (b"1e", "Miss exponent in number. at offset: 2"),
    (b'{"a":1e400}', "Number too big to be stored in double."),
    (b'{"a":' + b"9" * 5000 + b"}", "Number too big to be stored in double."),
    (b"[" * 100_000, "Nested too deeply."),
]


@pytest.mark.parametrize(("body", "message"), ERRORS)
def test_errors_are_rapidjsons(body: bytes, message: str) -> None:
    with pytest.raises(ServingError) as error:
        parse(body)
    assert error.value.message == f"JSON Parse error: {message}"
    assert error.value.http == 400


def test_numbers_of_javascript_are_read() -> None:
    value = parse(b'{"a": [NaN, Infinity, -Infinity, 1e-400]}')["a"]
    assert math.isnan(value[0])
    assert value[1:] == [math.inf, -math.inf, 0]


def test_a_byte_order_mark_is_skipped() -> None:
    assert parse(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


def test_bytes_that_are_no_text_stay_what_they_are() -> None:
    assert encode(parse(b'["\xff\xfe"]')[0]) == b"\xff\xfe"


def test_escapes_behind_backslashes_are_text() -> None:
    assert parse(b'[NaN, "\\\\ud800", "\\ud83d\\ude00"]')[1:] == ["\\ud800", "😀"]


def test_values_are_shown_indented_and_cut() -> None:
    assert show({"a": [1]}) == json.dumps({"a": [1]}, indent=4)
    assert len(show(["x" * 10**6])) < 1100
    assert len(show([1.5] * 10**6)) < 1100
    deep: list[object] = []
    for _ in range(5000):
        deep = [deep]
    assert show(deep).startswith("[")
