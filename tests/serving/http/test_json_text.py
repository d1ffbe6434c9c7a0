import json
import math
import threading

import numpy as np
import pytest

from dce_tf.serving.errors import ServingError
from dce_tf.serving.http import json_text
from dce_tf.serving.http.json_text import parse, show


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


def refusal(body: bytes) -> str:
    with pytest.raises(ServingError) as error:
        parse(body)
    assert error.value.http == 400
    return error.value.message


def test_numbers_of_javascript_are_read() -> None:
    value = parse(b'{"a": [NaN, -NaN, Infinity, -Infinity, Inf, -Inf, 1e-400]}')["a"]
    assert all(map(math.isnan, value[:2]))
    assert value[2:] == [math.inf, -math.inf, math.inf, -math.inf, 0]


def test_numbers_are_read_to_their_last_digit() -> None:
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2**62, 2000, np.int64).view(np.float64).tolist()
    numbers = [*bits, *rng.random(2000).tolist(), 0.1, 5e-324, 2**70, -(2**63)]
    assert parse(json.dumps(numbers).encode()) == numbers
    assert parse(json.dumps([numbers] * 20).encode()) == [numbers] * 20  # In pieces.
    wrong = parse(json.dumps(numbers).encode(), exact=False)
    assert wrong != numbers  # As TensorFlow Serving reads them, and faster.
    np.testing.assert_allclose(np.array(wrong, float), np.array(numbers, float), 1e-14)


def test_a_number_of_too_many_digits_is_refused() -> None:
    assert "Invalid integer value" in refusal(b"[" + b"1" * 5000 + b"]")


def test_whole_numbers_of_64_bits_stay_whole() -> None:
    least, most = -(2**63), 2**64 - 1
    body = f"[{least}, {most}, {least - 1}, {most + 1}]".encode()
    value = parse(body, exact=False)
    assert value == [least, most, float(least), float(most)]
    assert list(map(type, value)) == [int, int, float, float]


def test_a_byte_order_mark_is_skipped_and_counted() -> None:
    assert parse(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}
    assert refusal(b"\xef\xbb\xbf[1 2]").endswith("at offset: 6")


@pytest.mark.parametrize(
    ("body", "offset"), [(b'["\xff\xfe"]', 2), (b'{"a": "\xc3\xa9\x80"}', 9)]
)
def test_strings_that_are_not_utf8_are_refused(body: bytes, offset: int) -> None:
    expected = f"JSON Parse error: Invalid encoding in string. at offset: {offset}"
    assert refusal(body) == expected


@pytest.mark.parametrize("rest", [b" x", b"}", b"[", b"\0", b"\xff", b'"'])
def test_what_follows_the_document_is_not_read(rest: bytes) -> None:
    assert parse(b'{"a": [1]}' + rest) == {"a": [1]}


def test_of_repeated_keys_the_first_counts() -> None:
    assert parse(b'{"a": 1, "b": {"c": 2, "c": 3}, "a": 4}') == {"a": 1, "b": {"c": 2}}


@pytest.mark.parametrize("depth", [256, 999, 1000, 1001, 500_000])
def test_no_depth_is_too_much_where_nobody_looks(depth: int) -> None:
    body = f'{{"in \\"[[": "]", "x": {nested(depth)}, "a": [[2]]}}'
    assert parse(body.encode())["a"] == [[2]]


def test_lists_that_are_never_closed_are_refused_at_any_depth() -> None:
    for depth in (10, 500, 100_000):
        assert "Invalid value. at offset:" in refusal(b"[" * depth)


def test_depths_are_refused_within_a_thread_too() -> None:
    read = []
    thread = threading.Thread(target=lambda: read.append(parse(nested(9999).encode())))
    thread.start()
    thread.join()
    assert len(read) == 1


def test_escapes_behind_backslashes_are_text() -> None:
    assert parse(b'["\\\\ud800", "\\ud83d\\ude00"]') == ["\\ud800", "😀"]


def test_values_are_shown_on_one_line_and_cut() -> None:
    assert show({"a": [1, None, "é\n"]}) == '{"a":[1,null,"é\\n"]}'
    assert show(["x" * 10**6]) == '["' + "x" * 254
    assert show([1.5] * 10**6) == json.dumps([1.5] * 99, separators=(",", ":"))[:256]
    assert show(["é" * 200]) == '["' + "é" * 127
    deep: list[object] = []
    for _ in range(5000):
        deep = [deep]
    assert show(deep) == "[" * 256


LONG = [
    b'{"a": [1, 2.5e3, "x\\u00e9", null, true, NaN, -Infinity], "b": "\xc3\xa9\xf0\x9f'
    b'\x98\x80", "b": 3} rest',
    b'["' + b"a" * 40 + b'"]',
    b"[0." + b"1" * 40 + b"e-5]",
    b"[" + b"1" * 400 + b"]",
    b'["' + b"a" * 40 + b'" 1]',
    b'["' + b"a" * 40,
    b'{"a": "\xc3\xa9\xf0\x9f\x98"}',
    b'["aaaaaaaa\xff"]',
    b'["\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xff"]',
    b"[1] \xc3",
    b'{"a": "\\ud83d\\ude00 \\ud800"}',
    nested(40).encode(),
    b" " * 40 + b"{}",
]


@pytest.mark.parametrize("at_once", [4, 5, 7, 16])
@pytest.mark.parametrize("body", LONG)
def test_long_texts_are_read_in_pieces_to_the_same_values(
    body: bytes, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def outcome() -> str:
        try:
            return repr(parse(body))
        except ServingError as error:
            return error.message

    expected = outcome()
    monkeypatch.setattr(json_text, "_AT_ONCE", at_once)
    assert outcome() == expected


@pytest.mark.parametrize(
    "middle", [b"0." + b"1" * 2_000_000, b" " * 2_000_000, b'"%s"' % (b"a" * 2_000_000)]
)
def test_nothing_of_a_text_is_read_in_one_go(
    middle: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []

    class Watched(json_text._Pieces):
        def read(self, size: int) -> bytes:
            piece = super().read(size)
            sizes.append(len(piece))
            return piece

    monkeypatch.setattr(json_text, "_Pieces", Watched)
    body = b"[1," + middle + b",2]"
    if middle.isspace():
        body = body.replace(b",2", b"2")
    assert parse(body)[-1] == 2
    assert sum(sizes) == len(body)
    assert max(sizes) <= 2**18
