"""Collections over HTTP: what is below `/v1/collections`."""

from __future__ import annotations

import hashlib
import json
import re
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from dce_tf.export.embedder import EXPLAIN, PLACES
from dce_tf.index import Collection
from dce_tf.index.collection import Places
from dce_tf.serving.errors import ServingError, invalid
from dce_tf.serving.http.bodies import Bodies, BodyKind
from dce_tf.serving.http.error_answers import error_response
from dce_tf.serving.http.json_text import parse
from dce_tf.serving.limits import Deadline, Limits
from dce_tf.serving.metrics import Metrics
from dce_tf.serving.model.browser_model import BrowserModel
from dce_tf.serving.model.embedding import GalleryEmbedder, ImageBatch, require_codes
from dce_tf.serving.model.servable import DEFAULT_SIGNATURE
from dce_tf.serving.observing.tracing import traced
from dce_tf.serving.reading import Received
from dce_tf.serving.search.actions import describe, remove, store, summarise
from dce_tf.serving.search.browser_models import check_model, send_model
from dce_tf.serving.search.deciding import Decision, find, name_class, verify
from dce_tf.serving.search.explaining import (
    explain_match,
    look_at_match,
    no_record,
)
from dce_tf.serving.search.requests import (
    Query,
    Vector,
    read_entries,
    read_id,
    read_ids,
    read_match,
    read_object,
    read_pair,
    read_query,
)
from dce_tf.serving.search.threads import CollectionThreads
from dce_tf.serving.search.watching import QueryWatch

_PATH = re.compile(
    r"/v1/collections(?:/([^/:]+)(?:/(image|map|browser_model)"
    r"|:(search|identify|verify|explain|upsert|delete|rebuild))?)?"
)
_CHANGES = ("upsert", "delete", "rebuild")
T = TypeVar("T")
_VALUES_PER_HIT = 64  # With its metadata, which may be long: a guess on the safe side.


class CollectionRoutes:
    """Answers what is asked of collections.

    Args:
        collections: What there is.
        embedder: Embeds images.
        metrics: Told of every request to a collection there is.
        bodies: Reads the bodies of requests.
        limits: What a request may take.
        read_only: Whether nobody may change them.
        browser_models: What browsers embed with, by fingerprint.
    """

    def __init__(
        self,
        collections: Sequence[Collection],
        embedder: GalleryEmbedder,
        metrics: Metrics,
        bodies: Bodies,
        limits: Limits,
        *,
        read_only: bool = False,
        browser_models: Mapping[str, BrowserModel] | None = None,
    ) -> None:
        self._collections = {each.name: each for each in collections}
        self._embedder = embedder
        self._metrics = metrics
        self._bodies = bodies
        self._limits = limits
        self._read_only = read_only
        self._browser_models = browser_models or {}
        self._threads = CollectionThreads()
        self._watches = {
            name: QueryWatch(each, metrics, self._threads)
            for name, each in self._collections.items()
        }

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
        self._threads.close()

    async def _answer(
        self, name: str | None, action: str, request: Request
    ) -> Response:
        if name is None:
            return _json({"collections": await self._look(self._describe_all)})
        collection = self._collections.get(name)
        if collection is None:
            known = ", ".join(self._collections) or "none"
            raise ServingError(
                "NOT_FOUND", f"There is no collection {name}; there are: {known}."
            )
        if action in _CHANGES:
            if self._read_only:
                raise ServingError(
                    "PERMISSION_DENIED", "This server was started with --read_only."
                )
            return _json(await self._change(collection, action, request))
        return await self._look_at(collection, action, request)

    async def _look_at(
        self, collection: Collection, action: str, request: Request
    ) -> Response:
        match action:
            case "image":
                return await self._image(collection, request)
            case "map":
                return await self._map(collection)
            case "browser_model":
                return send_model(self._browser_models, collection, request)
            case "search":
                return await self._search(collection, request, find)
            case "identify":
                return await self._search(collection, request, name_class)
            case "verify":
                return await self._verify(collection, request)
            case "explain":
                return await self._explain(collection, request)
        described = await self._look(describe, collection)
        explains = self._embedder.explains(collection.fingerprint)
        model = self._browser_models.get(collection.fingerprint)
        offered = model.describe() if model else None
        return _json(described | {"explains": explains, "browser_model": offered})

    async def _change(
        self, collection: Collection, action: str, request: Request
    ) -> dict[str, int]:
        if action == "upsert":
            return {"upserted": await self._upsert(collection, request)}
        received = await self._bodies.receive(request, BodyKind.SMALL)
        if action == "delete":
            ids = await self._bodies.read(
                received, read_ids, received.text, self._limits.records
            )
            change = self._threads.change(received.deadline, remove, collection, ids)
            return {"deleted": await change}
        await self._bodies.read(received, read_object, received.text, ())
        await self._threads.rebuild(collection)
        return {"count": len(collection)}

    async def _search(
        self,
        collection: Collection,
        request: Request,
        answer_with: Callable[..., Decision],
    ) -> Response:
        received = await self._bodies.receive(request, BodyKind.SEARCH)
        deadline = received.deadline
        query = await self._bodies.read(received, read_query, received.content)
        check_model(collection, query.fingerprint)
        if query.looks_again and answer_with is not find:
            raise invalid("'rerank' is for :search; expected none.")
        started = time.perf_counter()
        with traced("embed"):
            vector, places = await self._asked(collection, query, received)
        embedded = time.perf_counter()
        with traced("search"):
            given = () if places is None else (places,)
            decision = await self._threads.look(
                deadline, answer_with, collection, vector, query, *given
            )
        done = time.perf_counter()
        spent = {"embed": embedded - started, "search": done - embedded}
        taken = {name: round(1e3 * each, 3) for name, each in spent.items()}
        answer = {**decision.answer, "milliseconds": taken}
        if query.record_id is None:
            self._watches[collection.name].add(vector, decision)
        values = _VALUES_PER_HIT * query.k
        return await self._bodies.write(deadline, values, _json, answer)

    async def _verify(self, collection: Collection, request: Request) -> Response:
        received = await self._bodies.receive(request, BodyKind.LARGE)
        deadline = received.deadline
        images = await self._bodies.read(received, read_pair, received.content)
        with traced("embed"):
            prepared = await self._prepare(collection, images, received)
            vectors = await self._embedder.embed(prepared, deadline)
        return _json(await self._threads.look(deadline, verify, collection, *vectors))

    async def _explain(self, collection: Collection, request: Request) -> Response:
        received = await self._bodies.receive(request, BodyKind.LARGE)
        deadline = received.deadline
        match = await self._bodies.read(received, read_match, received.content)
        seen = await self._threads.look(deadline, look_at_match, collection, match)
        with traced("embed"):
            prepared = await self._prepare(collection, seen.images, received, EXPLAIN)
            shares = await self._embedder.split(prepared, deadline)
        return _json(explain_match(seen, *shares))

    async def _asked(
        self, collection: Collection, query: Query, received: Received
    ) -> tuple[Vector, Places | None]:
        """Returns the embedding of a query, and its places if they are to be seen."""
        deadline = received.deadline
        if query.vector is not None:
            return query.vector, None
        if query.image is not None:
            images = {"'image'": query.image}
            vectors, places = await self._embedded(
                collection, images, received, with_places=query.looks_again
            )
            return vectors[0], None if places is None else places[0]
        if query.looks_again:
            require_codes(collection.place_codes, collection.place_codes)
        record_id = read_id(query.record_id)
        (record,) = await self._threads.look(deadline, collection.get, [record_id])
        if record is None:
            raise no_record(collection, record_id)
        if not query.looks_again:
            return record.vector, None
        (found,) = await self._threads.look(deadline, collection.places, [record_id])
        if found is None:
            raise ServingError(
                "FAILED_PRECONDITION",
                f"The record {record_id!r} was stored as a vector, without places for "
                "a second look. Leave 'rerank' out.",
            )
        return record.vector, found

    async def _embedded(
        self,
        collection: Collection,
        images: Mapping[str, bytes],
        received: Received,
        *,
        with_places: bool,
    ) -> tuple[Vector, Places | None]:
        """Embeds images, by what errors call them."""
        deadline = received.deadline
        if with_places:
            prepared = await self._prepare(collection, images, received, PLACES)
            return await self._embedder.look(prepared, deadline)
        prepared = await self._prepare(collection, images, received)
        return await self._embedder.embed(prepared, deadline), None

    async def _upsert(self, collection: Collection, request: Request) -> int:
        received = await self._bodies.receive(request, BodyKind.LARGE)
        entries = await self._bodies.read(
            received, read_entries, received.content, self._limits.records
        )
        images = {
            n: each.image for n, each in enumerate(entries) if each.image is not None
        }
        vectors = {
            n: each.vector for n, each in enumerate(entries) if each.vector is not None
        }
        places: Mapping[int, Places] = {}
        if images:
            named = {f"records[{n}]: 'image'": image for n, image in images.items()}
            embedded, codes = await self._embedded(
                collection,
                named,
                received,
                with_places=collection.place_codes is not None,
            )
            vectors |= dict(zip(images, embedded, strict=True))
            if codes is not None:
                places = dict(zip(images, codes, strict=True))
        return await self._threads.change(
            received.deadline, store, collection, entries, vectors, places
        )

    async def _prepare(
        self,
        collection: Collection,
        images: Mapping[str, bytes],
        received: Received,
        signature_name: str = DEFAULT_SIGNATURE,
    ) -> ImageBatch:
        return await self._bodies.read(
            received,
            self._embedder.prepare,
            [*images.values()],
            collection.fingerprint,
            [*images],
            signature_name,
            collection.place_codes,
        )

    async def _image(self, collection: Collection, request: Request) -> Response:
        text = request.query_params.get("id")
        if text is None:
            raise invalid(
                "Expected the id of a record as JSON: image?id=1 or id=%22a%22."
            )
        record_id = read_id(parse(text.encode("utf-8", "replace")))
        jpeg = await self._look(collection.thumbnail, record_id)
        if jpeg is None:
            raise ServingError("NOT_FOUND", f"There is no picture of {record_id!r}.")
        tag = f'"{hashlib.sha256(jpeg).hexdigest()[:32]}"'
        headers = {"ETag": tag, "Cache-Control": "no-cache"}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(jpeg, headers=headers, media_type="image/jpeg")

    async def _map(self, collection: Collection) -> Response:
        def write() -> Response | None:
            drawn = collection.map()
            return None if drawn is None else _json(drawn)

        response = await self._look(write)
        if response is None:
            raise ServingError("NOT_FOUND", f"No map of {collection.name} was made.")
        return response

    def _describe_all(self) -> list[dict[str, Any]]:
        return [summarise(each) for each in self._collections.values()]

    async def _look(self, function: Callable[..., T], *args: Any) -> T:
        """Calls what a request without a body asks for."""
        deadline = Deadline(self._limits.answer_seconds)
        return await self._threads.look(deadline, function, *args)


def _parse(request: Request) -> tuple[str | None, str]:
    """Returns the collection and what is to be done, by the URL."""
    path = request.scope["raw_path"].decode("latin-1")
    found = _PATH.fullmatch(path)
    change = found[3] if found else None
    if not found or request.method not in (("POST",) if change else ("GET", "HEAD")):
        raise invalid(f"Malformed request: {request.method} {path}")
    name = None if found[1] is None else urllib.parse.unquote(found[1])
    return name, change or found[2] or "describe"


def _json(value: Any) -> Response:
    try:
        body = orjson.dumps(value)
    except TypeError:  # Integers beyond 64 bits in metadata.
        body = json.dumps(value).encode()
    return Response(body, media_type="application/json")
