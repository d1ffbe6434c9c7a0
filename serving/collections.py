"""Collections over HTTP: what is below `/v1/collections`."""

from __future__ import annotations

import asyncio
import concurrent.futures
import hashlib
import json
import re
import threading
import time
import urllib.parse
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from dce_tf.index import Collection, Id
from serving.collection_actions import describe, find, store, summarise
from serving.collection_requests import (
    Entry,
    Query,
    Vector,
    read_entries,
    read_id,
    read_ids,
    read_object,
    read_query,
)
from serving.embedding import Embedder
from serving.errors import ServingError, invalid
from serving.guards import Limits, check_origin, error_response, read_body
from serving.json_text import parse
from serving.metrics import Metrics

_PATH = re.compile(
    r"/v1/collections(?:/([^/:]+)(?:/(image|map)|:(search|upsert|delete|rebuild))?)?"
)
_THREADS = 8
_MOST_WAITING = 64
P = ParamSpec("P")
T = TypeVar("T")


class CollectionRoutes:
    """Answers what is asked of collections.

    Args:
        collections: What there is.
        embedder: Embeds images.
        metrics: Told of every request to a collection there is.
        limits: What a request may take.
        read_only: Whether nobody may change them.
    """

    def __init__(
        self,
        collections: Sequence[Collection],
        embedder: Embedder,
        metrics: Metrics,
        limits: Limits,
        *,
        read_only: bool = False,
    ) -> None:
        self._collections = {each.name: each for each in collections}
        self._embedder = embedder
        self._metrics = metrics
        self._limits = limits
        self._read_only = read_only
        self._threads = concurrent.futures.ThreadPoolExecutor(
            _THREADS, thread_name_prefix="collections"
        )
        self._room = threading.Semaphore(_MOST_WAITING)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, whatever its method."""
        request = Request(scope, receive)
        started, code, name, action = time.perf_counter(), "OK", None, ""
        try:
            name, action = _parse(request)
            response = await self._answer(name, action, request)
        except ServingError as error:
            response, code = error_response(error), error.code
        await response(scope, receive, send)
        if name in self._collections:
            seconds = time.perf_counter() - started
            self._metrics.record_request(name, action, "REST", code, seconds)

    def close(self) -> None:
        """Ends the threads; what they began they end."""
        self._threads.shutdown()

    async def _answer(
        self, name: str | None, action: str, request: Request
    ) -> Response:
        if name is None:
            return _json({"collections": await self._run(self._describe_all)})
        collection = self._collections.get(name)
        if collection is None:
            known = ", ".join(self._collections) or "none"
            raise ServingError(
                "NOT_FOUND", f"There is no collection {name}; there are: {known}."
            )
        match action:
            case "describe":
                return _json(await self._run(describe, collection))
            case "image":
                return await self._image(collection, request)
            case "map":
                return await self._map(collection)
            case "search":
                body = await read_body(request, self._limits)
                return _json(await self._search(collection, read_query(body)))
        return await self._change(collection, action, request)

    async def _change(
        self, collection: Collection, action: str, request: Request
    ) -> Response:
        if self._read_only:
            raise ServingError(
                "PERMISSION_DENIED", "This server was started with --read_only."
            )
        check_origin(request)
        body = await read_body(request, self._limits)
        match action:
            case "upsert":
                return _json(await self._upsert(collection, read_entries(body)))
            case "delete":
                deleted = await self._run(collection.delete, read_ids(body))
                return _json({"deleted": deleted})
        read_object(body, ())
        await self._run(collection.rebuild, patient=True)
        return _json({"count": len(collection)})

    async def _search(self, collection: Collection, query: Query) -> dict[str, Any]:
        started = time.perf_counter()
        vector = await self._query_vector(collection, query)
        embedded = time.perf_counter()
        hits = await self._run(find, collection, vector, query)
        done = time.perf_counter()
        spent = {"embed": embedded - started, "search": done - embedded}
        return {
            "hits": hits,
            "milliseconds": {
                name: round(1e3 * each, 3) for name, each in spent.items()
            },
        }

    async def _query_vector(self, collection: Collection, query: Query) -> Vector:
        if query.vector is not None:
            return query.vector
        if query.image is not None:
            images, model = [query.image], collection.fingerprint
            vectors = await self._embedder.embed(images, model, ["'image'"])
            vector: Vector = vectors[0]
            return vector
        record_id = read_id(query.record_id)
        (record,) = await self._run(collection.get, [record_id])
        if record is None:
            raise _no_record(collection, record_id)
        return record.vector

    async def _upsert(
        self, collection: Collection, entries: Sequence[Entry]
    ) -> dict[str, int]:
        images = {
            n: each.image for n, each in enumerate(entries) if each.image is not None
        }
        vectors = {n: each.vector for n, each in enumerate(entries)}
        if images:
            names = [f"records[{n}]: 'image'" for n in images]
            model = collection.fingerprint
            embedded = await self._embedder.embed([*images.values()], model, names)
            vectors |= dict(zip(images, embedded, strict=True))
        await self._run(store, collection, entries, vectors)
        return {"upserted": len(entries)}

    async def _image(self, collection: Collection, request: Request) -> Response:
        text = request.query_params.get("id")
        if text is None:
            raise invalid(
                "Expected the id of a record as JSON: image?id=1 or id=%22a%22."
            )
        record_id = read_id(parse(text.encode("utf-8", "replace")))
        jpeg = await self._run(collection.thumbnail, record_id)
        if jpeg is None:
            raise ServingError("NOT_FOUND", f"There is no picture of {record_id!r}.")
        tag = f'"{hashlib.sha256(jpeg).hexdigest()[:32]}"'
        headers = {"ETag": tag, "Cache-Control": "no-cache"}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(jpeg, headers=headers, media_type="image/jpeg")

    async def _map(self, collection: Collection) -> Response:
        drawn = await self._run(collection.map)
        if drawn is None:
            raise ServingError("NOT_FOUND", f"No map of {collection.name} was made.")
        return _json(drawn)

    def _describe_all(self) -> list[dict[str, Any]]:
        return [summarise(each) for each in self._collections.values()]

    async def _run(
        self,
        function: Callable[..., T],
        *args: Any,
        patient: bool = False,
    ) -> T:
        """Calls what may take its time, in a thread."""
        if not self._room.acquire(blocking=False):
            raise ServingError("UNAVAILABLE", "Too many requests to collections wait.")
        running = self._threads.submit(function, *args)
        running.add_done_callback(lambda _: self._room.release())
        seconds = None if patient else self._limits.answer_seconds
        try:
            return await asyncio.wait_for(asyncio.wrap_future(running), seconds)
        except TimeoutError:
            raise ServingError(
                "DEADLINE_EXCEEDED", f"There was no answer within {seconds:g} seconds."
            ) from None
        except ValueError as error:
            raise invalid(str(error)) from error


def _parse(request: Request) -> tuple[str | None, str]:
    """Returns the collection and what is to be done, by the URL."""
    path = request.scope["raw_path"].decode("latin-1")
    found = _PATH.fullmatch(path)
    change = found[3] if found else None
    if not found or request.method not in (("POST",) if change else ("GET", "HEAD")):
        raise invalid(f"Malformed request: {request.method} {path}")
    name = None if found[1] is None else urllib.parse.unquote(found[1])
    return name, change or found[2] or "describe"


def _no_record(collection: Collection, record_id: Id) -> ServingError:
    return ServingError("NOT_FOUND", f"{collection.name} has no record {record_id!r}.")


def _json(value: Any) -> Response:
    try:
        body = orjson.dumps(value)
    except TypeError:  # Integers beyond 64 bits in metadata.
        body = json.dumps(value).encode()
    return Response(body, media_type="application/json")
