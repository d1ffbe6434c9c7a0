"""What every collection asks of the records and queries it is given."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dce_tf.index.collection import Id, Record, Vectors

MOST_ID_BYTES = 1024
MOST_METADATA_BYTES = 32 * 1024
MOST_LEVELS = 100

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


def check_name(name: str) -> str:
    """Returns the name of a collection.

    Raises:
        ValueError: If it does not fit into an address.
    """
    if _NAME.fullmatch(name):
        return name
    raise ValueError(
        f"A collection cannot be called {name!r}: expected up to 128 letters without "
        "accents, digits, '_', '-' and '.'. Pass --name."
    )


def check_id(record_id: Any) -> Id:
    """Returns the name of a record.

    Raises:
        ValueError: If it is neither text nor an integer of 64 bits.
    """
    if isinstance(record_id, int) and not isinstance(record_id, bool):
        if -(2**63) <= record_id < 2**63:
            return record_id
    elif isinstance(record_id, str) and 0 < _num_bytes(record_id) <= MOST_ID_BYTES:
        return record_id
    shown = ascii(record_id)
    raise ValueError(
        f"id: received {shown if len(shown) <= 80 else f'{shown[:77]}...'}; expected "
        f"text of 1 to {MOST_ID_BYTES} bytes or an integer of 64 bits."
    )


def _num_bytes(text: str) -> int:
    """Returns the length in UTF-8; 0 for what cannot be written in it."""
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        return 0


def unit_vectors(vectors: npt.ArrayLike, dim: int, what: str = "vector") -> Vectors:
    """Returns vectors scaled to length 1.

    Args:
        vectors: Numbers `(num_vectors, dim)`.
        dim: Width of the collection's embeddings.
        what: What they are called in an error.

    Returns:
        float32 `(num_vectors, dim)`, contiguous.

    Raises:
        ValueError: If they have another width, or one has no direction.
    """
    array = np.asarray(vectors, np.float64)
    if array.ndim != 2 or array.shape[1] != dim:
        raise ValueError(
            f"{what}: received shape {array.shape}; expected (number, {dim}), the "
            "width of the collection's embeddings."
        )
    lengths = np.sqrt(np.einsum("ij,ij->i", array, array))
    bad = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
    if len(bad):
        raise ValueError(
            f"{what} {bad[0]}: received one of length {lengths[bad[0]]}; expected "
            "finite numbers, not all zero."
        )
    return np.ascontiguousarray(array / lengths[:, None], np.float32)


def check_k(k: Any) -> int:
    """Returns the number of neighbours.

    Raises:
        ValueError: If it is no integer of 1 or more.
    """
    if isinstance(k, int | np.integer) and not isinstance(k, bool) and k >= 1:
        return int(k)
    raise ValueError(f"k: received {k!r}; expected an integer of 1 or more.")


def as_json(metadata: Mapping[str, Any]) -> str:
    """Returns metadata as JSON text.

    Raises:
        ValueError: If it is no JSON object, too long, or has a field `label`.
    """
    try:
        # Letters as they are: SQLite finds no field whose name has escapes.
        text = json.dumps(
            dict(metadata), allow_nan=False, ensure_ascii=False, separators=(",", ":")
        )
        names_are_text = all(isinstance(name, str) for name in metadata)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"metadata: expected a JSON object ({error}).") from error
    if not names_are_text or "label" in metadata:
        raise ValueError(
            "metadata: expected names of fields that are text and not 'label', which "
            "is a field of its own."
        )
    for name, value in metadata.items():
        if isinstance(value, str) and "\0" in value:
            raise ValueError(
                f"metadata: the field {name!a} has text with the character 0, at "
                "which a filter would take it to end. Leave it out."
            )
    if _depth(metadata) > MOST_LEVELS:
        raise ValueError(
            f"metadata: received lists and objects nested more than {MOST_LEVELS} "
            "levels deep, which SQLite may not read."
        )
    # Half a surrogate pair has no UTF-8; its escape is JSON as well.
    written = text.encode("utf-8", "backslashreplace")
    if len(written) > MOST_METADATA_BYTES:
        raise ValueError(
            f"metadata: received {len(written)} bytes of JSON; expected at most "
            f"{MOST_METADATA_BYTES}."
        )
    return written.decode()


def _depth(value: Any) -> int:
    """Returns how many lists and objects lie within each other, or too many."""
    depth, level = 0, [value]
    while level and depth <= MOST_LEVELS:
        depth += 1
        level = [
            inner
            for each in level
            for inner in (each.values() if isinstance(each, Mapping) else each)
            if isinstance(inner, Mapping | list | tuple)
        ]
    return depth


def check_records(records: Sequence[Record], dim: int) -> Vectors:
    """Checks records before any is stored.

    Args:
        records: What is to be stored.
        dim: Width of the collection's embeddings.

    Returns:
        Their vectors, scaled to length 1.

    Raises:
        ValueError: See `Collection.upsert`.
    """
    seen: set[Id] = set()
    for record in records:
        _check_texts(record)
        if check_id(record.id) in seen:
            raise ValueError(f"id: received {record.id!r} twice; expected each once.")
        seen.add(record.id)
    if not records:
        return np.empty((0, dim), np.float32)
    widths = {np.shape(record.vector) for record in records}
    if widths != {(dim,)}:
        other = next(shape for shape in widths if shape != (dim,))
        raise ValueError(
            f"vector: received shape {other}; expected ({dim},), the width of the "
            "collection's embeddings."
        )
    return unit_vectors(np.stack([record.vector for record in records]), dim)


def _check_texts(record: Record) -> None:
    label = record.label
    if label is not None and not (
        isinstance(label, str) and 0 < _num_bytes(label) <= MOST_ID_BYTES
    ):
        raise ValueError(
            f"label of {record.id!r}: received {ascii(label)[:80]}; expected text of 1 "
            f"to {MOST_ID_BYTES} bytes, or none."
        )
    if record.path is not None:
        parts = record.path.replace("\\", "/").split("/")
        if not parts[0] or ".." in parts or "\0" in record.path:
            raise ValueError(
                f"path of {record.id!r}: received {record.path!r}; expected one below "
                "the collection's image folder, without '..'."
            )
