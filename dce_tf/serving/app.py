"""Everything the server answers, put together."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from dce_tf.serving.errors import ServingError
from dce_tf.serving.http.bodies import Bodies
from dce_tf.serving.http.compression import Compression
from dce_tf.serving.http.error_answers import error_response
from dce_tf.serving.http.guards import Access, HostGuard, OriginGuard, TokenGuard
from dce_tf.serving.http.memory import CountedMemory
from dce_tf.serving.http.packed_files import SUFFIX as PACKED
from dce_tf.serving.http.packed_files import packed_response
from dce_tf.serving.http.rest import ModelRoutes
from dce_tf.serving.memory import MemoryBudget
from dce_tf.serving.metrics import CONTENT_TYPE, Metrics
from dce_tf.serving.model.predictor import Predictor
from dce_tf.serving.observing.http_requests import ObservedRequests
from dce_tf.serving.observing.tracing import Tracing
from dce_tf.serving.search.collections import CollectionRoutes

PAGE = Path(__file__).parent / "page"
_COLOURS = ("dce_tf.reports", "assets")  # The folder that reports take them from.
_GZIP_FROM = 8192  # Bytes; packing less costs more than sending it.


_PAGE_HEADERS = {
    # A new version of the server brings a new page.
    "Cache-Control": "no-cache",
    # As in index.html, which cannot forbid frames.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' "
        "blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


# What embeds photographs compiles WebAssembly, and may ask no one for anything.
_WORKER = "embedder_worker.js"
_WORKER_HEADERS = {
    **_PAGE_HEADERS,
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; "
        "frame-ancestors 'none'"
    ),
}


class _PageFiles(StaticFiles):
    """Files of the page; of one that is kept as gzip, the name is without `.gz`."""

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        found = super().lookup_path(path)
        return super().lookup_path(path + PACKED) if found[1] is None else found

    def file_response(
        self, full_path: Any, stat_result: Any, scope: Scope, status_code: int = 200
    ) -> Response:
        file = Path(full_path)
        headers = _WORKER_HEADERS if file.name == _WORKER else _PAGE_HEADERS
        response = super().file_response(full_path, stat_result, scope, status_code)
        if file.suffix == PACKED:
            tagged = {**headers, "ETag": response.headers["etag"]}
            return packed_response(file, Headers(scope=scope), tagged)
        response.headers.update(headers)
        return response


@dataclasses.dataclass
class Health:
    """Whether the server takes requests; changed when it is told to end.

    Attributes:
        is_draining: Whether it was.
        when_draining: Called when it is.
    """

    is_draining: bool = False
    when_draining: list[Callable[[], None]] = dataclasses.field(default_factory=list)

    def drain(self) -> None:
        """Says from now on that the server takes no requests."""
        self.is_draining = True
        for each in self.when_draining:
            each()


class WithoutRanges:
    """Always gives a whole file; Starlette refuses odd ranges in words of its own.

    Args:
        app: What is behind it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on."""
        if scope["type"] == "http":
            kept = [each for each in scope["headers"] if each[0] != b"range"]
            scope = {**scope, "headers": kept}
        await self._app(scope, receive, send)


def build_app(
    predictor: Predictor,
    collections: CollectionRoutes,
    metrics: Metrics,
    bodies: Bodies,
    budget: MemoryBudget,
    *,
    health: Health,
    access: Access,
    tracing: Tracing | None = None,
) -> ASGIApp:
    """Returns the ASGI application.

    Args:
        predictor: Asks the model.
        collections: Answers for the collections.
        metrics: Told of requests.
        bodies: Reads the bodies of requests.
        budget: The memory of all requests.
        health: Read by `/readyz`.
        access: Who may ask.
        tracing: Makes the traces, or None for none.
    """

    async def say_alive(_: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def say_ready(_: Request) -> Response:
        if health.is_draining:
            return error_response(ServingError("UNAVAILABLE", "The server is ending."))
        if not predictor.versions.is_ready:
            message = f"No version of {predictor.versions.name} is loaded yet."
            return error_response(ServingError("UNAVAILABLE", message))
        return JSONResponse({"status": "ready"})

    async def show_metrics(_: Request) -> Response:
        return Response(metrics.page(), media_type=CONTENT_TYPE)

    async def show_page(_: Request) -> Response:
        return FileResponse(PAGE / "index.html", headers=_PAGE_HEADERS)

    models = ModelRoutes(predictor, metrics, bodies)
    routes: list[BaseRoute] = [
        Route("/", show_page),
        Route("/healthz", say_alive),
        Route("/readyz", say_ready),
        Route("/monitoring/prometheus/metrics", show_metrics),
        Route("/metrics", show_metrics),
        Mount("/page", _PageFiles(directory=PAGE, packages=[_COLOURS])),
        Route("/v1/collections", collections),
        Route("/v1/collections/{rest:path}", collections),
        Route("/v1/{rest:path}", models),
        Route("/V1/{rest:path}", models),
    ]
    app = Starlette(
        routes=routes,
        middleware=[
            Middleware(HostGuard, host=access.host, allowed=access.allowed_hosts),
            Middleware(OriginGuard, origins=access.cors_origins),
            Middleware(TokenGuard, token=access.token),
            Middleware(CountedMemory, budget=budget),
            Middleware(WithoutRanges),
            Middleware(Compression, minimum_size=_GZIP_FROM, compresslevel=1),
        ],
        exception_handlers={HTTPException: _refuse, Exception: _fail},
    )
    app.router.redirect_slashes = False
    return ObservedRequests(app, tracing)


async def _refuse(_: Request, error: Exception) -> Response:
    """Answers what no route takes."""
    refusal = cast(HTTPException, error)
    code = "NOT_FOUND" if refusal.status_code == 404 else "INVALID_ARGUMENT"
    return error_response(ServingError(code, refusal.detail, http=refusal.status_code))


async def _fail(_: Request, __: Exception) -> Response:
    """Answers what nobody foresaw; Starlette then logs it."""
    return error_response(
        ServingError("INTERNAL", "The server failed; its log has why.")
    )
