"""How ids, filters and kinds are said to PostgreSQL: words of ours, values apart."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from dce_tf.base.errors import UsageError
from dce_tf.index.collection import Id
from dce_tf.index.filters import COMPARISONS, LABEL, Condition, Scalar
from dce_tf.index.kinds import KINDS, Hnsw, check_kind

NUL = "\0"  # The one letter that PostgreSQL stores in no text.
MOST_HNSW_DIM = 2000  # Numbers of a vector that pgvector makes an HNSW index of.
MOST_EF = 1000  # That pgvector takes.
MOST_EXACT = 20_000  # Records; with more, `auto` is HNSW.


def encode_id(record_id: Id) -> str:
    """Returns an id as text; text and numbers differ."""
    return f"i{record_id}" if isinstance(record_id, int) else f"s{record_id}"


def decode_id(text: str) -> Id:
    """Returns what `encode_id` was given."""
    return int(text[1:]) if text.startswith("i") else text[1:]


def as_sql(conditions: Sequence[Condition]) -> tuple[str, list[Any]]:
    """Returns conditions as SQL on the columns `label` and `fields`.

    Args:
        conditions: Of `parse_filter`.

    Returns:
        An expression that is true or false for every record and holds no word of a
        caller, and the parameters of it, in order.

    Raises:
        ValueError: If a value cannot be said.
    """
    terms, parameters = [], []
    for condition in conditions:
        term, values = _term(condition)
        terms.append(f"({term})")
        parameters += values
    return " AND ".join(terms) or "TRUE", parameters


def _term(condition: Condition) -> tuple[str, list[Any]]:
    if any(isinstance(each, str) and NUL in each for each in condition.values):
        raise ValueError(
            f"filter: {condition.field!r} has {condition.operator} with the character "
            "0, which PostgreSQL stores in no text. Leave it out."
        )
    if condition.field == LABEL:
        return _label(condition)
    if condition.operator == "$ne":
        term, values = _equal(condition.field, condition.values)
        return f"NOT ({term})", values
    if condition.operator in ("$eq", "$in"):
        return _equal(condition.field, condition.values)
    return _ordered(condition)


def _label(condition: Condition) -> tuple[str, list[Any]]:
    if condition.operator == "$in":
        return "coalesce(label = ANY(%s), FALSE)", [list(condition.values)]
    (value,) = condition.values
    if condition.operator == "$ne":
        return "label IS DISTINCT FROM %s", [value]
    return f"coalesce(label {COMPARISONS[condition.operator]} %s, FALSE)", [value]


def _equal(field: str, values: Sequence[Scalar]) -> tuple[str, list[Any]]:
    """Returns whether a field is one of the values, as an index can look it up."""
    wanted = [json.dumps({field: value}) for value in values]
    if len(wanted) == 1:
        return "fields @> %s::jsonb", wanted
    return "fields @> ANY(%s::jsonb[])", [wanted]


def _ordered(condition: Condition) -> tuple[str, list[Any]]:
    (value,) = condition.values
    field, comparison = condition.field, COMPARISONS[condition.operator]
    if isinstance(value, str):
        kind, term = "string", f'(fields ->> %s) COLLATE "C" {comparison} %s'
    else:
        kind, term = "number", f"(fields -> %s) {comparison} %s::jsonb"
        value = json.dumps(value)
    return (
        f"coalesce(jsonb_typeof(fields -> %s) = '{kind}' AND {term}, FALSE)",
        [field, field, value],
    )


def choose_kind(spec: str, dim: int, count: int) -> str:
    """Returns how a number of vectors is searched: `exact`, or `hnsw` with its options.

    Args:
        spec: `auto`, or an entry of `kinds.KINDS` with options.
        dim: Width of the embeddings.
        count: How many there are.

    Raises:
        UsageError: If PostgreSQL has no such kind, or not with these options.
    """
    check_kind(spec)
    if spec == "auto":
        return "hnsw" if count > MOST_EXACT and dim <= MOST_HNSW_DIM else "exact"
    name, _ = KINDS.check(spec)
    if name not in ("exact", "hnsw"):
        raise UsageError(
            f"--kind={spec}: in PostgreSQL there are exact, hnsw and auto. The nearest "
            f"that works is {'hnsw' if dim <= MOST_HNSW_DIM else 'exact'}; an index in "
            "a directory has all kinds."
        )
    graph = hnsw_of(spec)
    if graph is None:
        return spec
    if dim > MOST_HNSW_DIM:
        raise UsageError(
            f"--kind={spec}: embeddings of {dim} numbers; pgvector makes an HNSW index "
            f"of at most {MOST_HNSW_DIM}. Pass --kind=exact."
        )
    if not (graph.links <= 100 and 2 * graph.links <= graph.ef_build <= 1000):
        raise UsageError(
            f"--kind={spec}: pgvector takes at most 100 links, and an ef_build from "
            f"twice the links to 1000; received {graph.links} and {graph.ef_build}."
        )
    if graph.ef > MOST_EF:
        raise UsageError(
            f"--kind={spec}: received ef {graph.ef}; pgvector takes at most {MOST_EF}."
        )
    return spec


def hnsw_of(kind: str) -> Hnsw | None:
    """Returns the options of a graph, or None for `exact`."""
    built = KINDS.build(kind)
    return built if isinstance(built, Hnsw) else None
