import json
import sys
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from dce_tf.serving.http import json_size
from dce_tf.serving.http.json_size import measure_json

PLENTY = 10**9
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=50,
)


def number_of_values(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + sum(1 + number_of_values(each) for each in value.values())
    if isinstance(value, list):
        return 1 + sum(map(number_of_values, value))
    return 1


def memory_of(value: Any) -> int:
    own = sys.getsizeof(value)
    if isinstance(value, dict):
        return own + sum(memory_of(k) + memory_of(v) for k, v in value.items())
    return own + sum(map(memory_of, value)) if isinstance(value, list) else own


@settings(deadline=None, database=None, derandomize=True)
@given(value=values, ascii_only=st.booleans(), block=st.integers(1, 9))
def test_no_text_has_more_values_or_wider_letters_than_measured(
    value: Any, ascii_only: bool, block: int
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "replace")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(json_size, "_BLOCK", block)
        size = measure_json(text, PLENTY)
    assert size == measure_json(text, PLENTY)
    assert size.length == len(text)
    # An object's member is a name and a value, behind one colon and one comma.
    assert size.values >= number_of_values(value) / 2
    widest = max(map(ord, json.dumps(json.loads(text), ensure_ascii=False)))
    assert size.letter_bytes >= (1 if widest < 256 else 2 if widest < 2**16 else 4)


@pytest.mark.parametrize(
    "text",
    [
        b"[" + b"[]," * 1000 + b"0]",
        b"[" + b"{}," * 1000 + b"0]",
        b"[" + b'"",' * 1000 + b"0]",
        b"[" + b'{"a":1},' * 1000 + b"0]",
        b"[" + b"0.5," * 1000 + b"0]",
        b"[" + b"[[[]]]," * 1000 + b"0]",
        b'{"a": "' + "é".encode() * 1000 + b'"}',
        b'{"a": "' + b"a" * 1000 + "😀".encode() + b'"}',
        b'{"a": "' + b"a" * 1000 + b'\\ud83d\\ude00"}',
        b'{"a": "' + b"a" * 1000 + "€".encode() + b'"}',
    ],
)
def test_no_value_takes_more_memory_than_measured(text: bytes) -> None:
    assert memory_of(json.loads(text)) <= measure_json(text, PLENTY).read_bytes


def test_counting_ends_when_there_are_too_many() -> None:
    text = b"[]," * (2**20)
    assert 10 < measure_json(text, 10).values < len(text) // 2


def test_base64_as_php_writes_it_counts_little() -> None:
    text = json.dumps({"b64": "abcdefg/" * 1000}).replace("/", "\\/").encode()
    assert measure_json(text, PLENTY).values < 1000 / 8
