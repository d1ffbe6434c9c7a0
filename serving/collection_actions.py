"""What requests do with a collection once they are read."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Sequence
from typing import Any

from dce_tf.index import Collection, Record, make_thumbnail
from serving.collection_requests import Entry, Query, Vector


def describe(collection: Collection) -> dict[str, Any]:
    """Returns what there is to know of a collection, its classes too."""
    return summarise(collection) | {"labels": collection.labels()}


def summarise(collection: Collection) -> dict[str, Any]:
    """Returns what clients may know of a collection."""
    described = collection.describe()
    described.pop("image_root", None)  # A folder of this machine.
    return described


def find(collection: Collection, vector: Vector, query: Query) -> list[dict[str, Any]]:
    """Returns the records nearest to a vector, without the one it was taken from."""
    own = query.record_id
    (hits,) = collection.search(vector[None], query.k + (own is not None), query.where)
    others = [hit for hit in hits if hit.id != own][: query.k]
    records = collection.get([hit.id for hit in others])
    return [
        {
            "id": hit.id,
            "score": hit.score,
            "label": hit.label,
            "metadata": dict(hit.metadata),
            "image": _image_url(collection, record),
        }
        for hit, record in zip(others, records, strict=True)
    ]


def _image_url(collection: Collection, record: Record | None) -> str | None:
    if record is None or (record.path is None and record.thumbnail is None):
        return None
    record_id = urllib.parse.quote(json.dumps(record.id), safe="")
    return f"/v1/collections/{collection.name}/image?id={record_id}"


def store(
    collection: Collection, entries: Sequence[Entry], vectors: dict[int, Vector]
) -> None:
    """Stores entries, with small pictures of those that came as images."""
    collection.upsert(
        [
            Record(
                entry.record_id,
                vectors[number],
                entry.label,
                None,
                entry.metadata,
                None if entry.image is None else make_thumbnail(entry.image),
            )
            for number, entry in enumerate(entries)
        ]
    )
