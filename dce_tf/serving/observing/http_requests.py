"""Names, times, logs and traces every request over HTTP, whatever answers it."""

from __future__ import annotations

import contextlib
import re
import time
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dce_tf.serving.observing.logs import Answered, log_request
from dce_tf.serving.observing.request_ids import HEADER, take_request_id
from dce_tf.serving.observing.tracing import Tracing

_CLOSED = 499  # What nginx has for a client that left before it was answered.
_LONGEST_PATH = 256
_NAMES = re.compile(r"(/v1/(?:models|collections))/[^/:]+", re.IGNORECASE)
_CHOICES = re.compile(r"/(versions|labels)/[^/:]+", re.IGNORECASE)
_KNOWN = re.compile(
    r"/|/healthz|/readyz|/metrics|/monitoring/prometheus/metrics"
    r"|/v1/(?:models|collections)(?:/\{name\})?(?:/(?:versions|labels)/\{version\})?"
    r"(?:/(?:metadata|image|map|browser_model))?"
    r"(?::(?:predict|classify|regress|search|identify|verify|explain|upsert"
    r"|delete|rebuild))?",
    re.IGNORECASE,
)


class ObservedRequests:
    """Stands before all else, so that it sees what guards refuse and failures too.

    Args:
        app: What answers.
        tracing: Makes the traces, or None for none.
    """

    def __init__(self, app: ASGIApp, tracing: Tracing | None = None) -> None:
        self._app = app
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        name = take_request_id(headers.get(HEADER))
        started, status = time.perf_counter(), _CLOSED

        async def send_named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                named = (HEADER.encode(), name.encode())
                added = [*message.get("headers", []), named]
                status, message = message["status"], {**message, "headers": added}
            await send(message)

        path = scope["raw_path"].decode("latin-1")[:_LONGEST_PATH]
        route = name_route(path)
        with self._span(scope, headers, route, name) as span:
            try:
                await self._app(scope, receive, send_named)
            finally:
                if self._tracing is not None:
                    span.set_attribute("http.response.status_code", status)
                    if status >= 500:
                        self._tracing.blame(span)
                log_request(
                    Answered(
                        request_id=name,
                        protocol="http",
                        client=_client(scope),
                        method=scope["method"],
                        route=route,
                        path=path,
                        status=status,
                        ms=round(1e3 * (time.perf_counter() - started), 1),
                        is_failure=status >= 500,
                    )
                )

    def _span(self, scope: Scope, headers: Headers, route: str, name: str) -> Any:
        if self._tracing is None:
            return contextlib.nullcontext()
        return self._tracing.follow(
            f"{scope['method']} {route}",
            headers,
            http__request__method=scope["method"],
            http__route=route,
            client__address=_client(scope),
            dce_tf__request_id=name,
        )


def name_route(path: str) -> str:
    """Returns one of few names for what a path asks; names in it are left out."""
    route = _NAMES.sub(r"\1/{name}", path, count=1)
    route = _CHOICES.sub(r"/\1/{version}", route, count=1)
    if _KNOWN.fullmatch(route):
        return route.lower()
    return "/page/{file}" if path.startswith("/page/") else "other"


def _client(scope: Scope) -> str:
    found = scope.get("client")
    return f"{found[0]}:{found[1]}" if found else "unknown"
