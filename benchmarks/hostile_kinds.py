"""Small requests that want large work: what `hostile` sends, and the tests do."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import io
import json
import zlib
from collections.abc import Callable, Mapping

from PIL import Image

PREDICT = "/v1/models/embedder:predict"
COLLECTION = "/v1/collections/things"
SEARCH, UPSERT, DELETE, REBUILD = (
    f"{COLLECTION}:{action}" for action in ("search", "upsert", "delete", "rebuild")
)

_UNTYPED = {"Content-Type": "application/octet-stream"}
_FILE = b"--x\r\nContent-Disposition: form-data; filename=a\r\n\r\n"

Make = Callable[[int], "Hostile"]
KINDS: dict[str, Make] = {}


@dataclasses.dataclass(frozen=True)
class Hostile:
    """A request.

    Attributes:
        path: Where it goes, by POST.
        body: What it sends.
        headers: What it says of it.
    """

    path: str
    body: bytes
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)


def packed(path: str, body: bytes, **headers: str) -> Hostile:
    """Returns a request whose body is gzip."""
    return Hostile(
        path, gzip.compress(body, 6), {"Content-Encoding": "gzip", **headers}
    )


def _kind(name: str) -> Callable[[Make], Make]:
    def keep(make: Make) -> Make:
        KINDS[name] = make
        return make

    return keep


def _form(boundary: str) -> dict[str, str]:
    return {"Content-Type": f"multipart/form-data; boundary={boundary}"}


def _filled(start: str, item: str, count: int, end: str) -> bytes:
    return f"{start}{','.join([item] * count)}{end}".encode()


@_kind("search: empty lists")
def _search_lists(size: int) -> Hostile:
    return packed(SEARCH, _filled('{"vector": [', "[]", size, "]}"))


@_kind("search: an image beside empty lists")
def _search_image_lists(size: int) -> Hostile:
    start = '{"image": {"b64": ""}, "vector": ['
    return packed(SEARCH, _filled(start, "[]", size, "]}"))


@_kind("search: escapes")
def _search_escapes(size: int) -> Hostile:
    return packed(SEARCH, b'{"id": "' + b"\\n" * size + b'"}')


@_kind("search: a filter of many values")
def _search_filter(size: int) -> Hostile:
    fields = {f"f{n}": {"$in": list(range(min(size, 1000)))} for n in range(32)}
    return packed(SEARCH, json.dumps({"id": 1, "k": 1000, "filter": fields}).encode())


@_kind("upsert: empty objects")
def _upsert_objects(size: int) -> Hostile:
    return packed(UPSERT, _filled('{"records": [', "{}", size, "]}"))


@_kind("upsert: metadata nested deep")
def _upsert_deep(size: int) -> Hostile:
    depth = min(size, 900)
    nested = "[" * depth + "]" * depth
    record = f'{{"id": 1, "vector": [1], "metadata": {{"a": {nested}}}}}'
    return packed(UPSERT, f'{{"records": [{record}]}}'.encode())


@_kind("delete: ids")
def _delete_ids(size: int) -> Hostile:
    return packed(DELETE, f'{{"ids": [{",".join(map(str, range(size)))}]}}'.encode())


@_kind("delete: one id, again and again")
def _delete_same(size: int) -> Hostile:
    return packed(DELETE, _filled('{"ids": [', "1", size, "]}"))


@_kind("predict: empty lists")
def _predict_lists(size: int) -> Hostile:
    return packed(PREDICT, _filled('{"instances": [', "[]", size, "]}"))


@_kind("predict: empty lists, not packed")
def _predict_plain(size: int) -> Hostile:
    return Hostile(PREDICT, _filled('{"instances": [', "[]", size, "]}"))


@_kind("predict: empty objects")
def _predict_objects(size: int) -> Hostile:
    return packed(PREDICT, _filled('{"instances": [', "{}", size, "]}"))


@_kind("predict: members")
def _predict_members(size: int) -> Hostile:
    members = ",".join(f'"{n}":{n}' for n in range(size))
    return packed(PREDICT, f'{{"instances": [{{{members}}}]}}'.encode())


@_kind("predict: numbers, an error for each")
def _predict_each(size: int) -> Hostile:
    body = _filled('{"instances": [', "1", size, "]}")
    return packed(PREDICT, body, **{"X-Per-Item-Errors": "1"})


@_kind("predict: text as images")
def _predict_text(size: int) -> Hostile:
    return packed(PREDICT, _filled('{"instances": [', '"a"', size, "]}"))


@_kind("predict: lists nested as deep as there are")
def _predict_deepest(size: int) -> Hostile:
    return packed(PREDICT, b'{"instances": ' + b"[" * size + b"]" * size + b"}")


@_kind("predict: lists nested 65 to 254 deep")
def _predict_deep(size: int) -> Hostile:
    depth = 65 + size % 190
    return packed(PREDICT, b'{"inputs": ' + b"[" * depth + b'"a"' + b"]" * depth + b"}")


@_kind("predict: a string that does not end")
def _predict_endless(size: int) -> Hostile:
    return packed(PREDICT, b'{"instances": ["' + b"a" * size)


@_kind("predict: an error behind a long string")
def _predict_late_error(size: int) -> Hostile:
    return packed(PREDICT, b'{"instances": ["' + b"a" * size + b'" 1]}')


@_kind("predict: a number of many digits")
def _predict_digits(size: int) -> Hostile:
    return packed(PREDICT, b'{"instances": [' + b"1" * size + b"]}")


@_kind("predict: a fraction of many digits")
def _predict_fraction(size: int) -> Hostile:
    return packed(PREDICT, b'{"instances": [0.' + b"1" * size + b"e-5]}")


@_kind("predict: spaces")
def _predict_spaces(size: int) -> Hostile:
    return packed(PREDICT, b" " * size + b"{}")


@_kind("predict: spaces that may be an image")
def _predict_untyped_spaces(size: int) -> Hostile:
    return packed(PREDICT, b" " * size, **_UNTYPED)


@_kind("search: JSON that may be an image")
def _search_untyped(size: int) -> Hostile:
    return packed(SEARCH, b'{"id": "' + b"a" * size + b'"}', **_UNTYPED)


@_kind("predict: a form of many boundaries")
def _predict_boundaries(size: int) -> Hostile:
    return packed(PREDICT, b"--x\r\n" * (size // 5), **_form("x"))


@_kind("predict: a form of empty files")
def _predict_files(size: int) -> Hostile:
    part = _FILE + b"\r\n"
    return packed(PREDICT, part * (size // len(part)) + b"--x--\r\n", **_form("x"))


@_kind("predict: a form without an end")
def _predict_endless_form(size: int) -> Hostile:
    return packed(PREDICT, _FILE + b"a" * size, **_form("x"))


@_kind("predict: a form of what are nearly boundaries")
def _predict_near_boundaries(size: int) -> Hostile:
    return packed(PREDICT, b"-" * size + b"x", **_form("-" * 68 + "x"))


@_kind("predict: one wide letter in a long string")
def _predict_wide(size: int) -> Hostile:
    text = "a" * size + "😀"
    return packed(
        PREDICT, json.dumps({"instances": [text]}, ensure_ascii=False).encode()
    )


@_kind("predict: base64 that is none")
def _predict_base64(size: int) -> Hostile:
    body = b'{"instances": [{"b64": "' + b"A " * (size // 2) + b'!"}]}'
    return packed(PREDICT, body)


@_kind("predict: images of one pixel")
def _predict_pixels(size: int) -> Hostile:
    image = json.dumps({"b64": base64.b64encode(_png((1, 1))).decode()})
    return packed(PREDICT, _filled('{"instances": [', image, size // 100 + 1, "]}"))


@_kind("predict: a GIF of many blocks")
def _predict_blocks(size: int) -> Hostile:
    gif = b"GIF89a\1\0\1\0\0\0\0,\0\0\0\0\1\0\1\0\0\2" + b"\1\0" * (size // 3) + b"\0;"
    image = {"b64": base64.b64encode(gif).decode()}
    return packed(PREDICT, json.dumps({"instances": [image]}).encode())


@_kind("predict: a JPEG of bytes to pass over")
def _predict_filled(size: int) -> Hostile:
    return _of_image(b"\xff\xd8" + b"\xff" * size)


@_kind("predict: a JPEG of empty segments")
def _predict_segments(size: int) -> Hostile:
    return _of_image(b"\xff\xd8" + b"\xff\xe1\0\2" * (size // 5))


@_kind("predict: a JPEG of many scans")
def _predict_scans(size: int) -> Hostile:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()
    scan = data[data.rindex(b"\xff\xda") : -2]
    return _of_image(data[:-2] + scan * (size // len(scan)) + b"\xff\xd9")


@_kind("predict: a PNG of packed text")
def _predict_texts(size: int) -> Hostile:
    name, content = b"zTXt", b"k\0\0" + zlib.compress(bytes(7_900_000), 9)
    checksum = zlib.crc32(name + content).to_bytes(4)
    text = len(content).to_bytes(4) + name + content + checksum
    data = _png((1, 1))
    return _of_image(data[:33] + text * (size // len(text)) + data[33:])


def _of_image(data: bytes) -> Hostile:
    image = {"b64": base64.b64encode(data).decode()}
    return packed(PREDICT, json.dumps({"instances": [image]}).encode())


@_kind("predict: a bomb of nested gzip members")
def _predict_members_of_gzip(size: int) -> Hostile:
    members = gzip.compress(b" " * 1000) * (size // 1000 + 1)
    return Hostile(PREDICT, members, {"Content-Encoding": "gzip"})


def _png(size: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size).save(buffer, "PNG")
    return buffer.getvalue()
