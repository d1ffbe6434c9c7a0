"""Images in the body of a request as they are: one of them, or a form of files."""

from __future__ import annotations

import dataclasses
import re
import urllib.parse
from collections.abc import Collection as Names
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from dce_tf.serving.errors import ServingError, invalid
from dce_tf.serving.http.json_text import parse

_FORM = "multipart/form-data"
_UNNAMED = "application/octet-stream"
_JSON_BEGINS = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\n\r]*[{\[]")
_MOST_BLANKS = 4096  # Bytes that are looked at for where JSON begins.
_LETTERS = r"[0-9A-Za-z'()+_,./:=?-]"  # Of a boundary: RFC 2046, 5.1.1.
_BOUNDARY = re.compile(
    rf'(?:^|;)\s*boundary=(?:"((?:{_LETTERS}| ){{0,69}}{_LETTERS})"|([^\s";]{{1,70}}))'
    r"\s*(?:;|$)",
    re.IGNORECASE | re.ASCII,
)
_PARAMETER = re.compile(r';\s*(name|filename\*?)=("(?:[^"\\]|\\.)*"|[^\s;"]+)', re.I)
_MOST_HEADERS = 8192  # Bytes of the headers of a part.
_MOST_OPTIONS = 16
_MOST_FILES = 10_000
_PLAIN = ("", "binary", "8bit", "7bit")


@dataclasses.dataclass(frozen=True)
class RawKind:
    """How a body carries images.

    Attributes:
        boundary: What stands between the files of a form; None for a body that is one
            image.
        may_be_json: Whether the header leaves open that it is JSON.
    """

    boundary: bytes | None = None
    may_be_json: bool = False

    def measure(self, body: bytes, _: int) -> RawSize:
        """Bounds what a body becomes."""
        if self.boundary is None:
            return RawSize(len(body), 1, 0)
        return RawSize(len(body), body.count(b"--" + self.boundary), len(body))


@dataclasses.dataclass(frozen=True)
class RawSize:
    """Bounds on a body of images.

    Attributes:
        length: Its bytes.
        values: Its images.
        read_bytes: What is copied of it.
    """

    length: int
    values: int
    read_bytes: int


def raw_kind(content_type: str) -> RawKind | None:
    """Returns how a body carries images, by the header of its request.

    Args:
        content_type: The header; whatever else it says, the body is taken for JSON.

    Raises:
        ServingError: If it is a form without a boundary.
    """
    name = content_type.partition(";")[0].strip().lower()
    if name == _FORM:
        found = _BOUNDARY.search(content_type)
        if found is None:
            raise invalid(
                f"The Content-Type {_FORM} names no boundary of 1 to 70 letters; HTTP "
                "clients add one of their own if they are given files."
            )
        return RawKind((found[1] or found[2]).encode("latin-1"))
    if name.startswith("image/"):
        return RawKind()
    return RawKind(may_be_json=True) if name == _UNNAMED else None


@dataclasses.dataclass(frozen=True)
class RawImages:
    """A body of images, and the options that its URL carries.

    Attributes:
        body: The bytes.
        kind: How they carry images.
        query: The query string.
    """

    body: bytes
    kind: RawKind
    query: str

    @cached_property
    def images(self) -> list[bytes]:
        """The images, in their order; a body that is one is not copied.

        Raises:
            ServingError: If there is none, or the form is none.
        """
        if self.kind.boundary is None:
            if not self.body:
                raise invalid("The body is empty, expected an image.")
            return [self.body]
        images = list(_files(self.body, self.kind.boundary))
        if not images:
            raise invalid("The form has no files, expected one or more images.")
        return images

    @property
    def image(self) -> bytes:
        """The one image.

        Raises:
            ServingError: If there are others.
        """
        images = self.images
        if len(images) != 1:
            raise invalid(f"The form has {len(images)} files, expected 1.")
        return images[0]

    def options(self, texts: Names[str] = ()) -> dict[str, Any]:
        """Returns the options by name.

        Args:
            texts: Those that are text as they stand; the others are JSON.

        Raises:
            ServingError: If one stands there twice, or is no JSON.
        """
        found: dict[str, Any] = {}
        for name, text in _pairs(self.query):
            if name in found:
                raise invalid(f"The query string has {name!r} twice.")
            try:
                found[name] = text if name in texts else parse(text.encode())
            except ServingError as error:
                raise invalid(
                    f"{name!r} in the query string: {error.message}"
                ) from None
        return found


def is_json(body: bytes) -> bool:
    """Returns whether a body without a type begins as JSON does, and no image.

    Only its first bytes are looked at, as the event loop waits meanwhile: what begins
    with more blanks than those is refused later as an image that cannot be decoded.
    """
    return _JSON_BEGINS.match(body[:_MOST_BLANKS]) is not None


def refuse_options(query: str, names: Names[str]) -> None:
    """Refuses options beside a body that is JSON, where they would not be heard.

    Raises:
        ServingError: If there is one of these names.
    """
    for name, _ in _pairs(query) if query else ():
        if name in names:
            raise invalid(
                f"The option {name!r} of a request in JSON stands in its body; in the "
                "query string it goes with an image that is the body itself, with "
                "Content-Type: image/jpeg."
            )


def _pairs(query: str) -> list[tuple[str, str]]:
    try:
        return urllib.parse.parse_qsl(
            query, keep_blank_values=True, errors="strict", max_num_fields=_MOST_OPTIONS
        )
    except UnicodeDecodeError:
        raise invalid("The query string is not UTF-8.") from None
    except ValueError:
        raise invalid(
            f"The query string has more than {_MOST_OPTIONS} options."
        ) from None


def _files(body: bytes, boundary: bytes) -> Iterator[bytes]:
    """Yields the files of a form (RFC 7578), a copy of each."""
    delimiter = b"\r\n--" + boundary
    at = 0 if body.startswith(delimiter[2:]) else body.find(delimiter) + 2
    if at == 1:
        raise invalid(
            "The body is no form: the boundary of its Content-Type is not in it."
        )
    at += len(delimiter) - 2
    number = 0
    while not body.startswith(b"--", at):
        if number == _MOST_FILES:
            raise ServingError(
                "INVALID_ARGUMENT",
                f"The form has more than {_MOST_FILES:,} files. Send them in parts.",
                http=413,
            )
        start = body.find(b"\r\n", at, at + _MOST_HEADERS)
        if start < 0 or body[at:start].strip(b" \t"):
            raise invalid(f"The form is cut short, or damaged, after {number} files.")
        # An empty line ends the headers, of which there may be none.
        ends = body.find(b"\r\n\r\n", start, start + _MOST_HEADERS)
        following = body.find(delimiter, max(ends, start) + 2)
        if ends < 0 or following < 0:
            raise invalid(f"The form is cut short, or damaged, after {number} files.")
        _check_headers(body[start:ends], number)
        yield body[ends + 4 : max(following, ends + 4)]
        number += 1
        at = following + len(delimiter)


def _check_headers(block: bytes, number: int) -> None:
    """Checks that a part is a file as it is."""
    disposition = encoding = ""
    for line in block.decode("utf-8", "replace").split("\r\n"):
        name, _, value = line.partition(":")
        match name.strip().lower():
            case "content-disposition":
                disposition = value
            case "content-transfer-encoding":
                encoding = value.strip().lower()
    if encoding not in _PLAIN:
        raise invalid(
            f"Part {number} of the form has the Content-Transfer-Encoding "
            f"{encoding[:40]!r}; files are sent as they are."
        )
    parameters = {
        name.lower().rstrip("*"): value
        for name, value in _PARAMETER.findall(disposition)
    }
    if "filename" not in parameters:
        called = parameters.get("name", f"{number}").strip('"')[:40]
        raise invalid(
            f"Part {called!r} of the form is no file: it has no filename. Options "
            "stand in the query string, as in ?k=5."
        )
