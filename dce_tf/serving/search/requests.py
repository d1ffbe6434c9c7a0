"""What the bodies of requests to a collection ask for."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection as Names
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from dce_tf.index import Id
from dce_tf.serving.errors import ServingError, invalid
from dce_tf.serving.http.json_tensors import read_tensor
from dce_tf.serving.http.json_text import parse, show
from dce_tf.serving.http.json_values import decode_base64, is_base64
from dce_tf.serving.http.raw_images import RawImages
from dce_tf.serving.model.signatures import TensorSpec

MOST_NEIGHBOURS = 1000
_DEFAULT_NEIGHBOURS = 10
_QUERIES = ("image", "id", "vector")
_TEXTS = ("label", "rerank")  # Options that are no JSON.
_VECTOR = TensorSpec(tf.float32, (-1,))

Vector = npt.NDArray[np.float32]
Content = bytes | RawImages
"""JSON, or images as they are, whose options the URL has."""


@dataclasses.dataclass(frozen=True)
class Query:
    """A search.

    Attributes:
        image: What to search for: an encoded image,
        record_id: or a record of the collection,
        vector: or an embedding.
        k: How many to find.
        where: Which records count.
        min_probability: What an answer must at least have; None for the usual.
        looks_again: Whether the first hits are looked at again, by their places.
        fingerprint: Of the model that made `vector`, where the client says so.
    """

    image: bytes | None
    record_id: Id | None
    vector: Vector | None
    k: int
    where: Mapping[str, Any] | None
    min_probability: float | None = None
    looks_again: bool = False
    fingerprint: str | None = None


@dataclasses.dataclass(frozen=True)
class Entry:
    """A record to store, its vector perhaps still to be made of its image."""

    record_id: Id
    image: bytes | None
    vector: Vector | None
    label: str | None
    metadata: Mapping[str, Any]


def read_query(body: Content) -> Query:
    """Reads a search.

    Raises:
        ServingError: If it is none.
    """
    options = ("k", "filter", "min_probability", "rerank", "fingerprint")
    allowed = (*_QUERIES, *options)
    document = read_document(body, allowed, "image")
    given = [name for name in _QUERIES if name in document]
    if len(given) != 1:
        raise invalid(
            f"Expected exactly one of 'image', 'id' and 'vector', got "
            f"{' and '.join(map(repr, given)) or 'none'}."
        )
    k = document.get("k", _DEFAULT_NEIGHBOURS)
    if type(k) is not int or not 1 <= k <= MOST_NEIGHBOURS:
        raise invalid(
            f"'k' is {show(k)}, expected a whole number from 1 to {MOST_NEIGHBOURS}."
        )
    where = document.get("filter")
    if where is not None and not isinstance(where, dict):
        raise invalid(f"'filter' is {show(where)}, expected an object.")
    rerank = document.get("rerank")
    if rerank not in (None, "local"):
        raise invalid(f"'rerank' is {show(rerank)}, expected \"local\" or none.")
    if rerank is not None and "vector" in document:
        raise invalid(
            "'rerank' compares places of images, which a 'vector' does not have; "
            "expected 'image' or 'id'."
        )
    return Query(
        _image(document, "'image'"),
        read_id(document["id"]) if "id" in document else None,
        _vector(document, "'vector'"),
        k,
        where,
        _share(document, "min_probability"),
        rerank is not None,
        _fingerprint(document),
    )


def _fingerprint(document: dict[str, Any]) -> str | None:
    value: str | None = document.get("fingerprint")
    if value is None:
        return None
    if not isinstance(value, str):
        raise invalid(f"'fingerprint' is {show(value)}, expected text.")
    if "vector" not in document:
        raise invalid(
            "'fingerprint' says which model made a 'vector'. Leave it out: images and "
            "records are embedded here."
        )
    return value


def read_pair(body: Content) -> dict[str, bytes]:
    """Reads two images to be compared; returns them by what errors call them.

    Raises:
        ServingError: If there are not two.
    """
    images = _list(read_document(body, ("images",), "images"), "images", 2)
    if len(images) != 2:
        raise invalid(f"'images' has {len(images)} entries, expected 2.")
    return {
        f"images[{n}]": _encoded(image, f"images[{n}]")
        for n, image in enumerate(images)
    }


@dataclasses.dataclass(frozen=True)
class Match:
    """A query and a record that it was found with.

    Attributes:
        image: What was searched with: an encoded image,
        query_id: or a record.
        record_id: What was found.
    """

    image: bytes | None
    query_id: Id | None
    record_id: Id


def read_match(body: Content) -> Match:
    """Reads which match is to be explained.

    Raises:
        ServingError: If it does not say, or says too much.
    """
    document = read_document(body, ("image", "query_id", "id"), "image")
    if "id" not in document:
        raise invalid("Expected 'id', the record that was found.")
    if ("image" in document) == ("query_id" in document):
        raise invalid(
            "Expected either 'image' or 'query_id', what the record was found with."
        )
    return Match(
        _image(document, "'image'"),
        read_id(document["query_id"]) if "query_id" in document else None,
        read_id(document["id"]),
    )


def _share(document: dict[str, Any], key: str) -> float | None:
    value = document.get(key)
    if value is None:
        return None
    if type(value) not in (int, float) or not 0 <= value <= 1:
        raise invalid(f"{key!r} is {show(value)}, expected a number from 0 to 1.")
    return float(value)


def read_entries(body: Content, most: int) -> list[Entry]:
    """Reads records to store.

    Args:
        body: JSON, or the image of one record.
        most: How many there may be.

    Raises:
        ServingError: If one is none, or there are more.
    """
    if isinstance(body, RawImages):
        fields = ("id", "image", "label", "metadata")
        return [_entry(read_document(body, fields, "image"), "The record")]
    records = _list(read_object(body, ("records",)), "records", most)
    return [_entry(record, f"records[{n}]") for n, record in enumerate(records)]


def read_ids(body: bytes, most: int) -> list[Id]:
    """Reads names of records, each once.

    Args:
        body: JSON.
        most: How many there may be.

    Raises:
        ServingError: If one is none, or there are more.
    """
    ids = _list(read_object(body, ("ids",)), "ids", most)
    return list(dict.fromkeys(read_id(each) for each in ids))


def read_id(value: Any) -> Id:
    """Returns the name of a record.

    Raises:
        ServingError: If it is neither text nor a whole number.
    """
    if type(value) not in (str, int):
        raise invalid(f"An id is {show(value)}, expected text or a whole number.")
    record_id: Id = value
    return record_id


def read_document(body: Content, allowed: Names[str], images: str) -> dict[str, Any]:
    """Reads an object from JSON, or puts it together from images and the URL.

    Args:
        body: What came.
        allowed: The keys that are known.
        images: The one that images which are the body stand under: `images` for all of
            them, any other for the only one.

    Raises:
        ServingError: If it is none.
    """
    if not isinstance(body, RawImages):
        return read_object(body, allowed)
    others = [key for key in allowed if key != images]
    options = _check_keys(body.options(_TEXTS), others, "The query string")
    return {**options, images: body.images if images == "images" else body.image}


def read_object(body: bytes, allowed: Names[str]) -> dict[str, Any]:
    """Reads a JSON object, all of whose keys are known.

    Raises:
        ServingError: If it is none.
    """
    document = parse(body or b"{}")
    if not isinstance(document, dict):
        raise invalid(f"JSON Value: {show(document)} Is not object")
    return _check_keys(document, allowed, "The request")


def _check_keys(
    document: dict[str, Any], allowed: Names[str], name: str
) -> dict[str, Any]:
    for key in document:
        if key not in allowed:
            raise invalid(
                f"{name} has the key {show(key)}, expected only "
                f"{', '.join(map(repr, allowed)) or 'none'}."
            )
    return document


def _list(document: dict[str, Any], key: str, most: int) -> list[Any]:
    values = document.get(key)
    if not isinstance(values, list):
        raise invalid(f"Expected {key!r} to be a list, got {show(values)}.")
    if len(values) > most:
        raise ServingError(
            "INVALID_ARGUMENT",
            f"{key!r} has {len(values):,} entries; this server takes up to {most:,} at "
            "once. Send them in parts.",
            http=413,
        )
    return values


def _entry(record: Any, name: str) -> Entry:
    if not isinstance(record, dict):
        raise invalid(f"{name} is {show(record)}, expected an object.")
    _check_keys(record, ("id", "image", "vector", "label", "metadata"), name)
    if "id" not in record:
        raise invalid(f"{name} has no 'id'.")
    if ("image" in record) == ("vector" in record):
        raise invalid(f"{name} needs either 'image' or 'vector'.")
    label, metadata = record.get("label"), record.get("metadata") or {}
    if label is not None and not isinstance(label, str):
        raise invalid(f"{name}: 'label' is {show(label)}, expected text.")
    if not isinstance(metadata, dict):
        raise invalid(f"{name}: 'metadata' is {show(metadata)}, expected an object.")
    return Entry(
        read_id(record["id"]),
        _image(record, f"{name}: 'image'"),
        _vector(record, f"{name}: 'vector'"),
        label,
        metadata,
    )


def _image(document: dict[str, Any], name: str) -> bytes | None:
    if "image" not in document:
        return None
    return _encoded(document["image"], name)


def _encoded(image: Any, name: str) -> bytes:
    if isinstance(image, bytes):  # Not from JSON.
        return image
    if not is_base64(image):
        raise invalid(f'{name} is {show(image)}, expected {{"b64": "…"}}.')
    return decode_base64(image["b64"])


def _vector(document: dict[str, Any], name: str) -> Vector | None:
    if "vector" not in document:
        return None
    vector = read_tensor(document["vector"], _VECTOR)
    if vector.ndim != 1:
        raise invalid(f"{name} is no list of numbers.")
    return vector
