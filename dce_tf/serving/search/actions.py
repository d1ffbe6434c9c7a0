"""What requests do with a collection once they are read."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dce_tf.index import Collection, Hit, Id, Record, make_thumbnail
from dce_tf.index.calibration import Calibration
from dce_tf.index.collection import Places
from dce_tf.retrieval.rerankers.local import Local
from dce_tf.retrieval.second_look import look_again
from dce_tf.serving.search.requests import Entry, Query, Vector

_BLOCK = 500  # Records removed at once.
LOOK = Local()
"""How `"rerank": "local"` looks."""


def describe(collection: Collection) -> dict[str, Any]:
    """Returns what there is to know of a collection, its classes too."""
    return summarise(collection) | {"labels": collection.labels()}


def summarise(collection: Collection) -> dict[str, Any]:
    """Returns what clients may know of a collection."""
    described = collection.describe()
    for name in ("image_root", "model"):  # Folders of this machine.
        described.pop(name, None)
    return {**described, "calibration": _known(collection.calibration)}


def _known(calibration: Calibration | None) -> dict[str, Any] | None:
    if calibration is None:
        return None
    names = ("far", "far_interval", "threshold", "prior")
    return {name: getattr(calibration, name) for name in names}


def nearest(
    collection: Collection, vector: Vector, query: Query, places: Places | None = None
) -> list[Hit]:
    """Returns the records nearest to a vector, without the one it was taken from.

    More than are asked for, if a second look put them in their order.

    Args:
        collection: Where.
        vector: What to search for.
        query: How.
        places: Of the image that is searched for, where they decide, too.
    """
    own = query.record_id
    wanted = query.k if places is None else max(query.k, LOOK.top)
    (hits,) = collection.search(vector[None], wanted + (own is not None), query.where)
    hits = [hit for hit in hits if hit.id != own]
    if places is None:
        return hits[: query.k]
    return look_again(LOOK, collection, places, hits)


def as_json(collection: Collection, hits: Sequence[Hit]) -> list[dict[str, Any]]:
    """Returns hits as clients get them, with the address of their pictures."""
    records = collection.get([hit.id for hit in hits])
    return [
        {
            "id": hit.id,
            "score": hit.score,
            "label": hit.label,
            "metadata": dict(hit.metadata),
            "image": _image_url(collection, record),
        }
        for hit, record in zip(hits, records, strict=True)
    ]


def _image_url(collection: Collection, record: Record | None) -> str | None:
    if record is None or (record.path is None and record.thumbnail is None):
        return None
    record_id = urllib.parse.quote(json.dumps(record.id), safe="")
    return f"/v1/collections/{collection.name}/image?id={record_id}"


def store(
    collection: Collection,
    entries: Sequence[Entry],
    vectors: Mapping[int, Vector],
    places: Mapping[int, Places],
    is_wanted: Callable[[], bool],
) -> int:
    """Stores entries, with small pictures of those that came as images.

    Args:
        collection: Where.
        entries: What to store.
        vectors: Embeddings by number of the entry.
        places: Codes of places, of the entries that have some.
        is_wanted: Asked before each entry; the first no ends it, with nothing stored.

    Returns:
        How many were stored.
    """
    records = []
    for number, entry in enumerate(entries):
        if not is_wanted():
            return 0
        thumbnail = None if entry.image is None else make_thumbnail(entry.image)
        vector = vectors[number]
        records.append(
            Record(
                entry.record_id,
                vector,
                entry.label,
                None,
                entry.metadata,
                thumbnail,
                places.get(number),
            )
        )
    collection.upsert(records)
    return len(records)


def remove(
    collection: Collection, ids: Sequence[Id], is_wanted: Callable[[], bool]
) -> int:
    """Removes records, a block at a time, so that other changes come in between.

    Args:
        collection: From which.
        ids: Their names.
        is_wanted: Asked before each block; the first no ends it.

    Returns:
        How many of the names there were.
    """
    removed = 0
    for start in range(0, len(ids), _BLOCK):
        if not is_wanted():
            break
        removed += collection.delete(ids[start : start + _BLOCK])
    return removed
