"""A record as Milvus stores it."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from dce_tf.index.checks import as_json
from dce_tf.index.collection import Hit, Record, Vectors
from dce_tf.index.milvus.client import LONGEST
from dce_tf.index.milvus.conditions import decode_id, encode_id


def as_row(record: Record, vector: Vectors) -> dict[str, Any]:
    """Returns what is stored of a record.

    Raises:
        ValueError: If its thumbnail is larger than Milvus takes.
    """
    thumbnail = record.thumbnail and base64.b64encode(record.thumbnail).decode()
    if thumbnail and len(thumbnail) > LONGEST:
        raise ValueError(
            f"thumbnail of {record.id!r}: received {len(record.thumbnail or b'')} "
            f"bytes; Milvus takes at most {LONGEST * 3 // 4}."
        )
    return {
        "id": encode_id(record.id),
        "vector": vector,
        "label": record.label,
        "path": record.path,
        "metadata": json.loads(as_json(record.metadata)),
        "thumbnail": thumbnail,
    }


def as_record(found: Mapping[str, Any]) -> Record:
    """Returns a record that was stored."""
    thumbnail = found.get("thumbnail")
    return Record(
        decode_id(found["id"]),
        np.asarray(found["vector"], np.float32),
        found.get("label"),
        found.get("path"),
        found["metadata"],
        None if thumbnail is None else base64.b64decode(thumbnail),
    )


def as_hit(found: Mapping[str, Any]) -> Hit:
    """Returns what a search found."""
    values = found["entity"]
    score = min(1.0, max(-1.0, float(found["distance"])))
    return Hit(decode_id(found["id"]), score, values.get("label"), values["metadata"])
