"""A record as PostgreSQL stores it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dce_tf.index.checks import as_json, check_records
from dce_tf.index.collection import Hit, Record, Vectors
from dce_tf.index.filters import is_filterable
from dce_tf.index.postgres.conditions import NUL, decode_id, encode_id

COLUMNS = ("id", "vector", "label", "path", "metadata", "fields", "thumbnail")


def as_rows(records: Sequence[Record], dim: int) -> Iterator[tuple[Any, ...]]:
    """Returns what is stored of records, in the order of `COLUMNS`.

    Args:
        records: What to store.
        dim: Width of the embeddings.

    Raises:
        ValueError: If one cannot be stored; before any is returned.
    """
    vectors = check_records(records, dim)
    prepared = [_values(record) for record in records]
    return (
        (name, as_vector(vector), *rest)
        for (name, *rest), vector in zip(prepared, vectors, strict=True)
    )


def as_vector(vector: Vectors) -> str:
    """Returns a vector in pgvector's words, exact to the last bit."""
    return f"[{','.join(map(repr, vector.tolist()))}]"


def _values(record: Record) -> tuple[Any, ...]:
    metadata = as_json(record.metadata)
    for what, text in (
        ("id", record.id),
        ("label", record.label),
        ("path", record.path),
    ):
        if isinstance(text, str):
            _check_text(f"{what} of {record.id!r}", text)
    return (
        encode_id(record.id),
        record.label,
        record.path,
        metadata,
        json.dumps(_filterable(record)),
        record.thumbnail,
    )


def _filterable(record: Record) -> Mapping[str, Any]:
    """Returns the metadata that a filter can meet."""
    kept = {}
    for name, value in record.metadata.items():
        if not is_filterable(name) or not isinstance(value, str | int | float | bool):
            continue
        if isinstance(value, str):
            _check_text(f"metadata of {record.id!r}, {name!r}", value)
        kept[name] = value
    return kept


def _check_text(what: str, text: str) -> None:
    if NUL in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError(
            f"{what}: received text with the character 0 or half a surrogate pair, "
            "which PostgreSQL cannot store. Leave it out."
        )


def as_record(found: Sequence[Any]) -> Record:
    """Returns a record of the columns id, vector, label, path, metadata, thumbnail."""
    name, vector, label, path, metadata, thumbnail = found
    array = np.asarray(vector, np.float32)
    return Record(decode_id(name), array, label, path, metadata, thumbnail)


def as_hit(found: Sequence[Any]) -> Hit:
    """Returns what a search found: id, label, metadata and minus the score."""
    name, label, metadata, distance = found
    score = min(1.0, max(-1.0, -float(distance)))
    return Hit(decode_id(name), score, label, metadata)
