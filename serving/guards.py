"""Who may ask, and how much: token, size and patience."""

from __future__ import annotations

import asyncio
import dataclasses
import hmac
import threading
import urllib.parse
import zlib
from collections.abc import Callable

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.errors import ServingError, error_body, invalid

OPEN_PATHS = ("/", "/healthz", "/readyz")
OPEN_FOLDER = "/page/"  # The page holds no secrets; what it asks for has a token.
_GZIP = 16 + zlib.MAX_WBITS
_UNPACKED_AT_ONCE = 2**22  # Bytes; so much memory is taken before it is counted.
_SHARE = "dce_tf.share"  # Where the scope of a request has it.


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a request may take.

    Attributes:
        body_bytes: Size of its body, unpacked; all requests under way may have sixteen
            times as much together, packed and unpacked.
        body_seconds: Until its body is here.
        answer_seconds: From then until its answer.
    """

    body_bytes: int = 64 * 2**20
    body_seconds: float = 30.0
    answer_seconds: float = 30.0

    @property
    def held_bytes(self) -> int:
        """What the bodies of all requests under way may have together."""
        return 16 * self.body_bytes


def error_response(error: ServingError) -> Response:
    """Returns the answer to a request that failed."""
    headers = {}
    if error.code == "UNAVAILABLE":
        headers["Retry-After"] = "1"
    if error.http == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if error.http in (401, 408, 413):
        headers["Connection"] = "close"  # What else comes of the body is dropped.
    return Response(
        error_body(error.message), error.http, headers, media_type="application/json"
    )


async def read_body(request: Request, limits: Limits) -> bytes:
    """Reads the body of a request, and unpacks it if it is gzip.

    Raises:
        ServingError: If it is too large, too slow, or not what its header says, or if
            there is no memory left for it.
    """
    share: Share = request.scope[_SHARE]
    try:
        body = await asyncio.wait_for(_collect(request, limits), limits.body_seconds)
    except TimeoutError:
        raise ServingError(
            "DEADLINE_EXCEEDED",
            f"The request was not here within {limits.body_seconds:g} seconds.",
            http=408,
        ) from None
    except ClientDisconnect:
        raise ServingError("CANCELLED", "The client went away.") from None
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding in ("gzip", "x-gzip"):
        return await run_in_threadpool(unpack, body, limits.body_bytes, share.take)
    if encoding not in ("", "identity"):
        raise ServingError(
            "INVALID_ARGUMENT",
            f"Content-Encoding {encoding} is not known here. Send gzip, or plain JSON.",
            http=415,
        )
    return body


async def _collect(request: Request, limits: Limits) -> bytes:
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limits.body_bytes:
            raise _too_large(limits.body_bytes)
        chunks.append(chunk)
    return b"".join(chunks)


def unpack(
    body: bytes, most: int, take: Callable[[int], None] = lambda _: None
) -> bytes:
    """Unpacks gzip, of one or several members.

    Args:
        body: What came.
        most: Bytes it may become.
        take: Told how many bytes more it became; what it raises ends the unpacking.

    Raises:
        ServingError: If it becomes more, or is none.
    """
    unpacked = bytearray()
    while body:
        member = zlib.decompressobj(_GZIP)
        while not member.eof:
            room = min(_UNPACKED_AT_ONCE, most + 1 - len(unpacked))
            try:
                chunk = member.decompress(body, room)
            except zlib.error:
                raise invalid(
                    "The body is not gzip, as its Content-Encoding says."
                ) from None
            take(len(chunk))
            unpacked += chunk
            if len(unpacked) > most:
                raise _too_large(most)
            body = member.unconsumed_tail
            if not (chunk or body or member.eof):
                raise invalid("The body is gzip that was cut short.")
        body = member.unused_data
    return bytes(unpacked)


def _too_large(most: int) -> ServingError:
    return ServingError(
        "INVALID_ARGUMENT",
        f"The body of the request is larger than {most:,} bytes. Send fewer or smaller "
        "images at once.",
        http=413,
    )


def check_origin(request: Request) -> None:
    """Refuses what a page of another site asks a visitor's browser to change.

    Raises:
        ServingError: If the request says that it comes from such a page.
    """
    origin = request.headers.get("origin")
    if origin and urllib.parse.urlsplit(origin).netloc != request.headers.get("host"):
        raise ServingError(
            "PERMISSION_DENIED", f"Pages of {origin} may not change what is here."
        )


class Share:
    """What one request has of the memory for all bodies; for any thread.

    Args:
        budget: Where it is taken from.
    """

    def __init__(self, budget: BodyBudget) -> None:
        self._budget = budget
        self._taken = 0

    def take(self, size: int) -> None:
        """Counts so many bytes more.

        Raises:
            ServingError: If all requests together have too many then.
        """
        self._taken += size
        self._budget.add(size)

    def give_back(self) -> None:
        """Ends the count of what was taken."""
        self._budget.subtract(self._taken)


class BodyBudget:
    """Bounds the memory that the bodies of all requests under way take together.

    Args:
        app: What is behind it.
        limits: Says how many bytes they may have; what goes beyond the limit of one
            is not kept, and so not counted.
    """

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app = app
        self._limits = limits
        self._held = 0
        self._lock = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, and counts its body until it is answered."""
        share = Share(self)
        received = 0

        async def receive_counted() -> Message:
            nonlocal received
            message = await receive()
            before = received
            size = before + len(message.get("body", b""))
            received = min(size, self._limits.body_bytes)
            share.take(received - before)
            return message

        try:
            await self._app({**scope, _SHARE: share}, receive_counted, send)
        finally:
            share.give_back()

    def add(self, size: int) -> None:
        """Counts so many bytes.

        Raises:
            ServingError: If there are too many then; they are counted nevertheless.
        """
        with self._lock:
            self._held += size
            if self._held > self._limits.held_bytes:
                raise ServingError(
                    "UNAVAILABLE", "Too many large requests at once. Try again soon."
                )

    def subtract(self, size: int) -> None:
        """Counts so many bytes no more."""
        with self._lock:
            self._held -= size


class TokenGuard:
    """Lets in only who has the token.

    Args:
        app: What is behind it.
        token: The secret; without one everybody is let in.
    """

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self._app = app
        self._expected = None if token is None else f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or refuses it."""
        if scope["type"] != "http" or self._lets_in(scope):
            await self._app(scope, receive, send)
            return
        error = ServingError(
            "UNAUTHENTICATED", "The request has no valid token: Authorization: Bearer …"
        )
        await error_response(error)(scope, receive, send)

    def _lets_in(self, scope: Scope) -> bool:
        path = scope["path"]
        if self._expected is None or path in OPEN_PATHS or path.startswith(OPEN_FOLDER):
            return True
        given = Headers(scope=scope).get("authorization", "").encode("latin-1")
        return hmac.compare_digest(given, self._expected)
