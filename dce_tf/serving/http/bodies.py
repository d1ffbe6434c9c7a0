"""The bodies of requests: received, unpacked and read within limits."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import io
import zlib
from collections.abc import Callable
from typing import Any

from starlette.requests import ClientDisconnect, Request

from dce_tf.serving.errors import ServingError, invalid
from dce_tf.serving.http.json_size import measure_json
from dce_tf.serving.http.memory import share_of
from dce_tf.serving.http.raw_images import (
    RawImages,
    is_json,
    raw_kind,
    refuse_options,
)
from dce_tf.serving.limits import Deadline, Limits
from dce_tf.serving.reading import Readers, Received

_GZIP = 16 + zlib.MAX_WBITS
_UNPACKED_AT_ONCE = 2**20  # Bytes; so much memory is taken before it is counted.
_IMAGE = b'"b64"'  # Stands before an image, so at the beginning of a long search.


OPTIONS = (
    *("k", "filter", "min_probability", "id", "query_id", "label", "metadata"),
    "signature_name",
)
"""What goes with images that are a body as they are, in the query string."""


class BodyKind(enum.Enum):
    """What a body may carry, which decides how long it may be."""

    LARGE = enum.auto()
    """Images or tensors, any number."""
    SEARCH = enum.auto()
    """One image, or none: only with one it may be long."""
    SMALL = enum.auto()
    """No images."""


@dataclasses.dataclass(frozen=True)
class Body(Received):
    """The body of a request that is here, and not read yet.

    Attributes:
        content: Its bytes if it is JSON, or what tells the images that it is.
    """

    content: bytes | RawImages


class Bodies(Readers):
    """Receives bodies and has them read."""

    async def receive(self, request: Request, kind: BodyKind) -> Body:
        """Receives the body of a request, and unpacks it if it is gzip.

        Args:
            request: The request.
            kind: What its body may carry; one without images is JSON whatever its
                Content-Type says.

        Raises:
            ServingError: If it is too large, too slow, or not what its header says, or
                if there is no memory left for it.
        """
        limits, allowed = self._limits, kind
        encoding = _encoding(request)
        raw = None
        if kind is not BodyKind.SMALL:
            raw = raw_kind(request.headers.get("content-type", ""))
        if raw is not None and kind is BodyKind.SEARCH:
            kind = BodyKind.LARGE
        try:
            body = await asyncio.wait_for(
                _collect(request, _Growing(limits, kind, packed=encoding is not None)),
                limits.body_seconds,
            )
        except TimeoutError:
            raise ServingError(
                "DEADLINE_EXCEEDED",
                f"The request was not here within {limits.body_seconds:g} seconds.",
                http=408,
            ) from None
        except ClientDisconnect:
            raise ServingError("CANCELLED", "The client went away.") from None
        deadline, share = Deadline(limits.answer_seconds), share_of(request.scope)
        if encoding is not None:
            packed, growing = body, _Growing(limits, kind)
            work = self.run(unpack, packed, growing.add, share.take)
            await deadline.wait(work)
            body = growing.value()
            share.give_back(len(packed))
        query = request.scope["query_string"].decode("latin-1")
        if raw is None or (raw.may_be_json and is_json(body)):
            if raw is not None:  # It came under the limit of an image, but is none.
                _Growing(limits, allowed).check(body)
            refuse_options(query, OPTIONS)
            found = await self.measure(body, measure_json, share, deadline)
            return Body(body, found.size, share, deadline, body)
        found = await self.measure(body, raw.measure, share, deadline)
        images = RawImages(body, raw, query)
        return Body(body, found.size, share, deadline, images)


class _Growing:
    """A body as it comes, no longer than it may be."""

    def __init__(self, limits: Limits, kind: BodyKind, *, packed: bool = False) -> None:
        self._limits = limits
        # Whether there is an image in what is packed shows only later.
        large = kind is BodyKind.LARGE or (packed and kind is BodyKind.SEARCH)
        small = min(limits.query_bytes, limits.body_bytes)
        self._most = limits.body_bytes if large else small
        self._may_carry = kind is BodyKind.SEARCH
        self._buffer = io.BytesIO()

    def check(self, chunk: bytes) -> None:
        """Checks what came next, which is not kept.

        Raises:
            ServingError: If it is too much.
        """
        size = self._buffer.tell() + len(chunk)
        if size > self._most and self._may_carry:
            self._may_carry = False
            if _IMAGE in self._buffer.getvalue() + chunk[: self._most]:
                self._most = self._limits.body_bytes
        if size > self._most:
            raise _too_large(self._most, self._limits)

    def add(self, chunk: bytes) -> None:
        """Appends what came next.

        Raises:
            ServingError: If it is too much.
        """
        self.check(chunk)
        self._buffer.write(chunk)

    def value(self) -> bytes:
        """Returns all of it, without a copy."""
        return self._buffer.getvalue()


def _encoding(request: Request) -> str | None:
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding in ("gzip", "x-gzip"):
        return "gzip"
    if encoding not in ("", "identity"):
        raise ServingError(
            "INVALID_ARGUMENT",
            f"Content-Encoding {encoding} is not known here. Send gzip, or plain JSON.",
            http=415,
        )
    return None


async def _collect(request: Request, growing: _Growing) -> bytes:
    async for chunk in request.stream():
        growing.add(chunk)
    return growing.value()


def unpack(
    body: bytes,
    add: Callable[[bytes], None],
    take: Callable[[int], None] = lambda _: None,
) -> None:
    """Unpacks gzip, of one or several members.

    Args:
        body: What came.
        add: Given what it became, a piece at a time; what it raises ends the unpacking.
        take: Told before how many bytes a piece has, in the same cases.

    Raises:
        ServingError: If it is no gzip.
    """
    member = None
    for start in range(0, len(body), _UNPACKED_AT_ONCE):
        data = body[start : start + _UNPACKED_AT_ONCE]
        while data:
            member = zlib.decompressobj(_GZIP) if member is None else member
            _unpack_some(member, data, add, take)
            if member.eof:
                data, member = member.unused_data, None
            else:
                data = member.unconsumed_tail
    while member is not None and not member.eof:
        if not _unpack_some(member, b"", add, take) and not member.eof:
            raise invalid("The body is gzip that was cut short.")


def _unpack_some(
    member: Any,
    data: bytes,
    add: Callable[[bytes], None],
    take: Callable[[int], None],
) -> int:
    try:
        chunk = member.decompress(data, _UNPACKED_AT_ONCE)
    except zlib.error:
        raise invalid("The body is not gzip, as its Content-Encoding says.") from None
    take(len(chunk))
    add(chunk)
    return len(chunk)


def _too_large(most: int, limits: Limits) -> ServingError:
    remedy = "Send fewer or smaller images at once."
    if most < limits.body_bytes:
        remedy = "That is the limit of requests without an image; send it in parts."
    return ServingError(
        "INVALID_ARGUMENT",
        f"The body of the request is larger than {most:,} bytes. {remedy}",
        http=413,
    )
