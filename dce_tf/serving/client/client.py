"""A client of the server, and of TensorFlow Serving for `embed` and `status`.

    with Client("http://127.0.0.1:8501") as client:
        vectors = client.embed(["a.jpg", "b.jpg"])
        hits = client.search("index", image="a.jpg", k=5)

It needs NumPy and nothing else beside Python, so that this file can be copied alone.
On a command line, `python -m dce_tf.serving.client --help` does the same.
"""

from __future__ import annotations

import base64
import dataclasses
import email.utils
import http.client
import json
import os
import random
import secrets
import ssl
import time
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

Embeddings = npt.NDArray[np.float32]
Image = bytes | str | os.PathLike[str]
"""What is in an image file, or where it lies."""
Id = str | int
T = TypeVar("T")

DEFAULT_URL = "http://127.0.0.1:8501"
DEFAULT_MODEL = "embedder"
TOKEN_VARIABLE = "DCE_TF_TOKEN"
_BUSY = (429, 503)
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 10.0  # Seconds.
_LONGEST_WAIT = 60.0  # A server that asks for more is not waited for.
_MOST_BYTES = 16 * 2**20  # Of the images in one request.
_LONGEST_QUERY = 4096  # Letters; proxies take no URL of any length.
_JSON = "application/json"
_TEXTS = ("rerank",)  # Options that are no JSON in a URL.
# What TensorFlow Serving, and servers before images as they are, say to one.
_NOT_READ = ("JSON Parse error", "Malformed request", "limit of requests without")


class ServerError(Exception):
    """A request that was not answered as hoped.

    Args:
        message: What the server said, or what happened on the way.
        status: Of HTTP; None if there was no answer.
        retry_after: Seconds after which the server wants to be asked again.
        may_pass: Whether the same request may go well later.
    """

    def __init__(
        self,
        message: str,
        status: int | None = None,
        retry_after: float | None = None,
        *,
        may_pass: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after
        self.may_pass = may_pass


@dataclasses.dataclass(frozen=True)
class Version:
    """A version of the model, as the server has it."""

    version: int
    state: str
    error: str = ""


@dataclasses.dataclass(frozen=True)
class Hit:
    """A record that was found.

    Attributes:
        id: Its name.
        score: Cosine similarity to what was searched for, −1 to 1.
        label: Its class, if it is known.
        metadata: What else is known of it.
        image: Path of its picture on the server, if there is one.
        probability: That it is of the class searched for, 0 to 1; None where nobody has
            calibrated the model.
    """

    id: Id
    score: float
    label: str | None
    metadata: Mapping[str, Any]
    image: str | None
    probability: float | None = None


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What the server says of two images.

    Attributes:
        score: Their cosine similarity, −1 to 1.
        probability: That they are of one class, if that is as probable as not before.
        same: Whether the score reaches the threshold.
        threshold: The cosine from which on two images are called the same.
        far: The share of pairs of two classes that it was chosen to accept.
    """

    score: float
    probability: float
    same: bool
    threshold: float
    far: float


@dataclasses.dataclass(frozen=True)
class Explanation:
    """Which places of two images speak for their similarity.

    Attributes:
        score: Their cosine similarity, −1 to 1.
        query: What each place of the query gives to it, a list of rows.
        record: What each place of the record's picture gives to it.
        seen: Side of the square in the middle of an image that these cover, per shorter
            side of the image.
    """

    score: float
    query: list[list[float]]
    record: list[list[float]]
    seen: float


@dataclasses.dataclass(frozen=True)
class Identity:
    """Of which class the server says an image is.

    Attributes:
        label: The class; None where it is unknown: none is probable enough.
        probability: Of that class.
        unknown: Whether none is.
        classes: What was weighed, the most probable first: `label`, `probability`,
            `score` of the nearest image and `votes` among the k nearest.
    """

    label: str | None
    probability: float | None
    unknown: bool
    classes: Sequence[Mapping[str, Any]]


@dataclasses.dataclass(frozen=True, eq=False)
class Record:
    """An image to store: itself, which the server embeds, or its embedding."""

    id: Id
    image: Image | None = None
    vector: Sequence[float] | Embeddings | None = None
    label: str | None = None
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Returns it as the server wants it."""
        fields: dict[str, Any] = {"id": self.id, **_given(self.image, self.vector)}
        if self.label is not None:
            fields["label"] = self.label
        if self.metadata:
            fields["metadata"] = dict(self.metadata)
        return fields


class _Body(NamedTuple):
    """What is sent, and of which type it is."""

    content_type: str
    data: bytes


class Client:
    """Asks a server, again where it is busy or away for a moment.

    Images are sent as they are, and as JSON to a server that does not read that, such
    as TensorFlow Serving; the first request with an image finds out.

    All requests can be repeated without harm. For one thread at a time: make one
    client a thread.

    Args:
        url: Where the server is.
        model: What it calls the model.
        token: The secret it wants, if any.
        timeout: Seconds to wait for a connection, and for each part of an answer.
        retries: How often to ask again when it is busy (429, 503) or away.
        ca_file: Certificates (PEM) to trust, where the server's is not public.
        batch_size: The most images per request.
        raw: Whether images are sent as they are; by default the client finds out.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        model: str = DEFAULT_MODEL,
        token: str | None = None,
        timeout: float = 60.0,
        retries: int = 4,
        ca_file: str | None = None,
        batch_size: int = 32,
        raw: bool | None = None,
    ) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"url: received {url!r}; expected http://HOST:PORT.")
        if batch_size < 1 or retries < 0 or timeout <= 0:
            raise ValueError(
                f"received batch_size={batch_size}, retries={retries}, timeout="
                f"{timeout}; expected at least 1, at least 0 and more than 0."
            )
        self.url = url.rstrip("/")
        self.model = model
        self.batch_size = batch_size
        self._retries = retries
        self._timeout = timeout
        self._folder = parts.path.rstrip("/")
        self._raw = raw
        self._headers = {}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self._connection = _connection(parts, timeout, ca_file)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives the connection back."""
        self._connection.close()

    def embed(self, images: Iterable[Image]) -> Embeddings:
        """Embeds images.

        Args:
            images: Image files, or what is in them. They are read as they are sent.

        Returns:
            float32 `(num_images, embedding_dim)`; `(0, 0)` for no image.

        Raises:
            ServerError: If it fails; the message names an image that cannot be read.
            OSError: If a file cannot be read.
        """
        named = ((_name(image, n), image) for n, image in enumerate(images))
        sized = ((name, _read(image)) for name, image in named)
        parts = [self._embed(batch) for batch in self._batches(sized, _size_of_named)]
        return np.concatenate(parts) if parts else np.empty((0, 0), np.float32)

    def _embed(self, batch: Sequence[tuple[str, bytes]]) -> Embeddings:
        images = [data for _, data in batch]
        try:
            path = f"{self._model_path}:predict"
            predictions = self._ask_of(
                images,
                path,
                "predictions",
                {},
                lambda: {"instances": [_b64(data) for data in images]},
            )
        except ServerError as error:
            if error.status != 400:
                raise
            if len(batch) > 1:  # One image fails all: which?
                return np.concatenate([self._embed([each]) for each in batch])
            raise ServerError(f"{batch[0][0]}: {error}", error.status) from error
        rows = [
            each["embedding"] if isinstance(each, dict) else each
            for each in predictions
        ]
        return np.asarray(rows, np.float32)

    def status(self) -> list[Version]:
        """Returns the versions of the model the server has."""
        versions = self._ask("GET", self._model_path, "model_version_status")
        return [
            Version(
                int(each["version"]),
                each["state"],
                each.get("status", {}).get("error_message", ""),
            )
            for each in versions
        ]

    def collections(self) -> list[dict[str, Any]]:
        """Returns what can be searched: `name`, `count`, `fields` and more of each."""
        found: list[dict[str, Any]] = self._ask("GET", "/v1/collections", "collections")
        return found

    def collection(self, name: str) -> dict[str, Any]:
        """Returns what there is to know of a collection, its `labels` too."""
        known: dict[str, Any] = self._ask("GET", _path(name), None)
        return known

    def search(
        self,
        collection: str,
        *,
        image: Image | None = None,
        record_id: Id | None = None,
        vector: Sequence[float] | Embeddings | None = None,
        k: int = 10,
        where: Mapping[str, Any] | None = None,
        min_probability: float | None = None,
        rerank: str | None = None,
    ) -> list[Hit]:
        """Finds the records most like an image, a record or an embedding: one of them.

        Args:
            collection: Where to search.
            image: The image.
            record_id: The record, which is not among the hits.
            vector: The embedding, `(embedding_dim,)`.
            k: How many to find, 1 to 1000.
            where: Which records count: `{"label": "x", "price": {"$lt": 5}}`.
            min_probability: Leave out what is less probable, 0 to 1; the collection
                must be calibrated.
            rerank: `"local"` looks again at the first hits, place by place; not for a
                vector.

        Returns:
            The best first; none where what is searched for is unknown.

        Raises:
            ServerError: If it fails.
            ValueError: If not exactly one thing is searched for.
        """
        options = {"k": k, **_conditions(where, min_probability)}
        if rerank is not None:
            options["rerank"] = rerank
        given = (image, vector, record_id)
        hits = self._ask_about(_path(collection, ":search"), "hits", given, options)
        return [_known(Hit, hit) for hit in hits]

    def identify(
        self,
        collection: str,
        *,
        image: Image | None = None,
        record_id: Id | None = None,
        vector: Sequence[float] | Embeddings | None = None,
        k: int = 10,
        where: Mapping[str, Any] | None = None,
        min_probability: float | None = None,
    ) -> Identity:
        """Says of which class an image, a record or an embedding is: one of them.

        Args:
            collection: A calibrated one.
            image: The image.
            record_id: The record, which does not speak for itself.
            vector: The embedding, `(embedding_dim,)`.
            k: How many of the nearest are weighed, 1 to 1000.
            where: Which records count, as of `search`.
            min_probability: What the class must at least have; by default a half.

        Raises:
            ServerError: If it fails, or the collection is not calibrated.
            ValueError: If not exactly one thing is given.
        """
        options = {"k": k, **_conditions(where, min_probability)}
        given = (image, vector, record_id)
        answer = self._ask_about(_path(collection, ":identify"), None, given, options)
        return _known(Identity, answer)

    def verify(self, collection: str, first: Image, second: Image) -> Verdict:
        """Says whether two images are of one class.

        Args:
            collection: A calibrated one, of whose model the embeddings are.
            first: An image.
            second: Another.

        Raises:
            ServerError: If it fails, or the collection is not calibrated.
        """
        images = [_read(each) for each in (first, second)]
        answer = self._ask_of(
            images,
            _path(collection, ":verify"),
            None,
            {},
            lambda: {"images": [_b64(data) for data in images]},
        )
        return _known(Verdict, answer)

    def explain(
        self,
        collection: str,
        record_id: Id,
        *,
        image: Image | None = None,
        query_id: Id | None = None,
    ) -> Explanation:
        """Finds which places of a query and of a record speak for their similarity.

        Args:
            collection: Where the record is.
            record_id: The record, of which there must be a picture.
            image: What it is compared with: an image,
            query_id: or another record.

        Raises:
            ServerError: If it fails, or the model was exported without what it needs.
            ValueError: If not exactly one of `image` and `query_id` is given.
        """
        if (image is None) == (query_id is None):
            raise ValueError("Expected either image or query_id.")
        path = _path(collection, ":explain")
        if image is None:
            body = {"id": record_id, "query_id": query_id}
            answer = self._ask("POST", path, None, body)
        else:
            given = (image, None, None)
            answer = self._ask_about(path, None, given, {"id": record_id})
        return _known(Explanation, answer)

    def upsert(self, collection: str, records: Iterable[Record]) -> int:
        """Stores records, in the place of those of the same name.

        Returns:
            How many.

        Raises:
            ServerError: If it fails: earlier batches are stored then.
        """
        stored = 0
        ready = (record.as_json() for record in records)
        path = _path(collection, ":upsert")
        for batch in self._batches(ready, _size_of_record):
            try:
                stored += self._ask("POST", path, "upserted", {"records": batch})
            except ServerError as error:
                where = f"of the records from {batch[0]['id']!r} on"
                raise ServerError(f"{where}, {error}", error.status) from error
        return stored

    def delete(self, collection: str, ids: Iterable[Id]) -> int:
        """Removes records; returns how many of the names there were."""
        body = {"ids": list(ids)}
        return int(self._ask("POST", _path(collection, ":delete"), "deleted", body))

    def rebuild(self, collection: str, timeout: float = 3600.0) -> int:
        """Makes the search structure and the map again; returns how many records."""
        path = _path(collection, ":rebuild")
        return int(self._ask("POST", path, "count", {}, timeout))

    @property
    def _model_path(self) -> str:
        return f"/v1/models/{urllib.parse.quote(self.model, safe='')}"

    def _batches(
        self, items: Iterable[Any], size: Callable[[Any], int]
    ) -> Iterator[list[Any]]:
        batch: list[Any] = []
        total = 0
        for item in items:
            full = len(batch) == self.batch_size or total + size(item) > _MOST_BYTES
            if batch and full:
                yield batch
                batch, total = [], 0
            batch.append(item)
            total += size(item)
        if batch:
            yield batch

    def _ask_about(
        self,
        path: str,
        field: str | None,
        given: tuple[Image | None, Sequence[float] | Embeddings | None, Id | None],
        options: Mapping[str, Any],
    ) -> Any:
        """Asks about an image, a vector or a record."""
        image, vector, record_id = given
        if image is None or vector is not None or record_id is not None:
            body = {**_given(image, vector, record_id), **options}
            return self._ask("POST", path, field, body)
        data = _read(image)
        return self._ask_of(
            [data], path, field, options, lambda: {"image": _b64(data), **options}
        )

    def _ask_of(
        self,
        images: Sequence[bytes],
        path: str,
        field: str | None,
        options: Mapping[str, Any],
        as_json: Callable[[], Any],
    ) -> Any:
        """Sends images as they are, or as JSON where that is not read.

        Args:
            images: The images.
            path: Where to.
            field: What of the answer is wanted; None for all of it.
            options: What goes with them in the URL.
            as_json: Returns both as JSON.
        """
        query = urllib.parse.urlencode(
            {k: v if k in _TEXTS else json.dumps(v) for k, v in options.items()}
        )
        fits = self._raw is not False and len(query) <= _LONGEST_QUERY
        if fits:
            target = f"{path}?{query}" if query else path
            try:
                answer = self._ask("POST", target, field, _as_they_are(images))
            except ServerError as error:
                is_unread = any(each in str(error) for each in _NOT_READ)
                if self._raw or not (is_unread or error.status == 415):
                    raise
            else:
                self._raw = True
                return answer
        answer = self._ask("POST", path, field, as_json())
        if fits:
            self._raw = False
        return answer

    def _ask(
        self,
        method: str,
        path: str,
        field: str | None,
        body: Any = None,
        timeout: float | None = None,
    ) -> Any:
        """Returns a field of the answer, or all of it."""
        data = body
        if body is not None and not isinstance(body, _Body):
            data = _Body(_JSON, json.dumps(body).encode())
        attempt = 0
        while True:
            try:
                content = self._send(method, path, data, timeout or self._timeout)
                break
            except ServerError as error:
                pause = _pause(attempt, error.retry_after)
                is_last = attempt >= self._retries or pause > _LONGEST_WAIT
                if is_last or not error.may_pass:
                    raise
            time.sleep(pause)
            attempt += 1
        try:
            answer = json.loads(content)
            return answer if field is None else answer[field]
        except (ValueError, KeyError, TypeError) as error:
            raise ServerError(
                f"{self.url} answered with something else than JSON with "
                f"{field!r}: {_beginning(content)}"
            ) from error

    def _send(
        self, method: str, path: str, data: _Body | None, timeout: float
    ) -> bytes:
        connection = self._connection
        connection.timeout = timeout
        if connection.sock is not None:
            connection.sock.settimeout(timeout)
        try:
            status, headers, content = self._exchange(method, path, data)
        except TimeoutError as error:
            connection.close()
            raise ServerError(
                f"{self.url} did not answer within {timeout:g} seconds."
            ) from error
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            # A certificate that is not trusted will not be in a second either.
            may_pass = not isinstance(error, ssl.SSLCertVerificationError)
            raise ServerError(
                f"{self.url} cannot be reached: {error or type(error).__name__}.",
                may_pass=may_pass,
            ) from error
        if status != 200:
            raise _error_of(status, headers, content)
        return content

    def _exchange(
        self, method: str, path: str, body: _Body | None
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        target, connection = self._folder + path, self._connection
        kind, data = body if body is not None else (_JSON, None)
        headers = {**self._headers, "Content-Type": kind}
        was_open = connection.sock is not None
        try:
            response = _exchange(connection, method, target, data, headers)
        except (ConnectionError, http.client.BadStatusLine):
            connection.close()
            if not was_open:
                raise
            # The server has closed a connection that was idle; a new one is not.
            response = _exchange(connection, method, target, data, headers)
        return response.status, response.headers, response.read()


def _exchange(
    connection: http.client.HTTPConnection,
    method: str,
    target: str,
    data: bytes | None,
    headers: Mapping[str, str],
) -> http.client.HTTPResponse:
    try:
        connection.request(method, target, data, dict(headers))
    except (BrokenPipeError, ConnectionResetError):
        if connection.sock is None:
            raise
        # What stopped listening before the end may have said why.
    return connection.getresponse()


def _connection(
    parts: urllib.parse.SplitResult, timeout: float, ca_file: str | None
) -> http.client.HTTPConnection:
    host = parts.hostname or ""
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, parts.port, timeout=timeout)
    context = ssl.create_default_context(cafile=ca_file)
    return http.client.HTTPSConnection(
        host, parts.port, timeout=timeout, context=context
    )


def _error_of(
    status: int, headers: http.client.HTTPMessage, content: bytes
) -> ServerError:
    try:
        message = str(json.loads(content)["error"])
    except (ValueError, KeyError, TypeError):
        message = _beginning(content)  # Of a proxy in between.
    return ServerError(
        f"{message} (HTTP {status})",
        status,
        _seconds_until(headers.get("Retry-After")),
        may_pass=status in _BUSY,
    )


def _seconds_until(moment: str | None) -> float | None:
    """Returns how long a `Retry-After` is from now: it holds seconds, or a date."""
    if moment is None:
        return None
    if moment.strip().isdecimal():
        return float(moment)
    try:
        date = email.utils.parsedate_to_datetime(moment)
    except ValueError:
        return None  # As if nothing was said.
    return max(0.0, date.timestamp() - time.time())


def _beginning(content: bytes) -> str:
    return " ".join(content.decode("utf-8", "replace").split())[:200] or "nothing"


def _pause(attempt: int, retry_after: float | None) -> float:
    if retry_after is not None:
        return retry_after
    longest = min(_FIRST_PAUSE * 2**attempt, _LONGEST_PAUSE)
    # Clients that were refused together do not come back together.
    return longest * random.uniform(0.5, 1)


def _path(collection: str, action: str = "") -> str:
    return f"/v1/collections/{urllib.parse.quote(collection, safe='')}{action}"


def _conditions(
    where: Mapping[str, Any] | None, min_probability: float | None
) -> dict[str, Any]:
    """Returns what narrows a search."""
    given: dict[str, Any] = {"filter": dict(where)} if where else {}
    if min_probability is not None:
        given["min_probability"] = min_probability
    return given


def _known(kind: type[T], answer: Mapping[str, Any]) -> T:
    """Returns an answer, without what a newer server may have added."""
    names = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: answer[name] for name in names & answer.keys()})


def _given(
    image: Image | None,
    vector: Sequence[float] | Embeddings | None,
    record_id: Id | None = None,
) -> dict[str, Any]:
    given: dict[str, Any] = {}
    if image is not None:
        given["image"] = _b64(_read(image))
    if vector is not None:
        given["vector"] = np.asarray(vector, np.float32).tolist()
    if record_id is not None:
        given["id"] = record_id
    if len(given) != 1:
        raise ValueError(
            f"received {' and '.join(given) or 'nothing'}; expected exactly one of an "
            "image, a vector and, in a search, the id of a record."
        )
    return given


def _read(image: Image) -> bytes:
    return image if isinstance(image, bytes) else Path(image).read_bytes()


def _name(image: Image, number: int) -> str:
    return f"image {number}" if isinstance(image, bytes) else os.fspath(image)


def _as_they_are(images: Sequence[bytes]) -> _Body:
    """Returns the body of a request with one image, or a form of several."""
    if len(images) == 1:
        return _Body("application/octet-stream", images[0])
    boundary = secrets.token_hex(16)
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="image"; '
        'filename="image"\r\nContent-Type: application/octet-stream\r\n\r\n'
    ).encode()
    parts = [part for image in images for part in (head, image, b"\r\n")]
    parts.append(f"--{boundary}--\r\n".encode())
    return _Body(f"multipart/form-data; boundary={boundary}", b"".join(parts))


def _b64(data: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(data).decode()}


def _size_of_named(item: tuple[str, bytes]) -> int:
    return len(item[1])


def _size_of_record(record: Mapping[str, Any]) -> int:
    return len(record["image"]["b64"]) if "image" in record else 0
