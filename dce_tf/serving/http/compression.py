"""Compresses responses for clients that accept gzip."""

from __future__ import annotations

from starlette.middleware.gzip import GZipMiddleware
from starlette.types import Receive, Scope, Send


class Compression(GZipMiddleware):
    """Starlette's middleware, which reads `gzip;q=0` as acceptance."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request; see `GZipMiddleware`."""
        if scope["type"] == "http":
            kept = [each for each in scope["headers"] if not _refuses_gzip(*each)]
            scope = {**scope, "headers": kept}
        await super().__call__(scope, receive, send)


def _refuses_gzip(name: bytes, value: bytes) -> bool:
    """Returns whether a header is an `Accept-Encoding` without gzip (RFC 9110)."""
    if name != b"accept-encoding":
        return False
    for each in value.lower().replace(b" ", b"").split(b","):
        coding, _, weight = each.partition(b";q=")
        if coding == b"gzip":
            return weight != b"" and not weight.strip(b"0.")
    return False
