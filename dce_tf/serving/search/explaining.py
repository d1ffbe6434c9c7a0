"""Why a record was found: which places of the query and of its picture speak for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from dce_tf.images.preprocessing import RESIZE_RATIO
from dce_tf.index import Collection, Id, Record
from dce_tf.index.pictures import TO_EMBED
from dce_tf.retrieval.heat import heat_maps
from dce_tf.serving.errors import ServingError
from dce_tf.serving.search.requests import Match

_SEEN = 1 / RESIZE_RATIO


@dataclasses.dataclass(frozen=True)
class Seen:
    """What there is of a match.

    Attributes:
        record: What was found.
        images: Pictures of the query and of the record, by what errors call them.
    """

    record: Record
    images: Mapping[str, bytes]


def look_at_match(collection: Collection, match: Match) -> Seen:
    """Looks up the record and the pictures of a match.

    Raises:
        ServingError: If there is no such record, or no picture of it.
    """
    (record,) = collection.get([match.record_id])
    if record is None:
        raise no_record(collection, match.record_id)
    query = match.image
    if query is None:
        query = _picture(collection, match.query_id)
    pictures = {"'image'": query, "'id'": _picture(collection, match.record_id)}
    return Seen(record, pictures)


def _picture(collection: Collection, record_id: Any) -> bytes:
    jpeg = collection.thumbnail(record_id, side=TO_EMBED)
    if jpeg is None:
        raise ServingError(
            "NOT_FOUND",
            f"There is no picture of {record_id!r}, and a match is explained with the "
            "pictures of both.",
        )
    return jpeg


def explain_match(
    seen: Seen, query: npt.NDArray[np.float32], picture: npt.NDArray[np.float32]
) -> dict[str, Any]:
    """Returns the heat-maps of a match, as clients get them.

    Args:
        seen: The match.
        query: Shares of each place of the query in its embedding, float32 `(rows,
            columns, embedding_dim)`; see `network.shares`.
        picture: Those of the record's picture.

    Returns:
        `score`; `query` and `record`, lists of rows of numbers, the first of which sums
        to the score; `seen`, the side of the square in the middle that they cover, per
        shorter side of an image.
    """
    vector = query.sum((0, 1))
    ((of_query,), (of_record,)) = (
        heat_maps(shares[None], other[None])
        for shares, other in ((query, seen.record.vector), (picture, vector))
    )
    return {
        "score": float(vector @ seen.record.vector),
        "query": of_query.tolist(),
        "record": of_record.tolist(),
        "seen": _SEEN,
    }


def no_record(collection: Collection, record_id: Id) -> ServingError:
    """Returns the error that says that there is no such record."""
    return ServingError("NOT_FOUND", f"{collection.name} has no record {record_id!r}.")
