"""Filters as SQL: they find what plain Python does, and a label by its index."""

import itertools
import json
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from dce_tf.index import Record
from dce_tf.index.bulk import _INDEXES, _SCHEMA
from dce_tf.index.filters import as_sql, parse_filter
from tests.index.oracle import meets

LABELS = (None, "", "a", "b", "é", "Z", "10", "9")
VALUES = (None, True, False, 0, 1, 1.0, -2.5, "1", "true", "é")
OPERATORS = ("$eq", "$ne", "$lt", "$lte", "$gt", "$gte")
RECORDS = [
    Record(number, [1.0], label, None, {} if value is None else {"f": value})
    for number, (label, value) in enumerate(itertools.product(LABELS, VALUES), 1)
]


@pytest.fixture(scope="module")
def stored() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.executescript(_SCHEMA + _INDEXES)
    connection.executemany(
        "INSERT INTO records (row, id, label, metadata) VALUES (?, ?, ?, ?)",
        [(r.id, r.id, r.label, json.dumps(r.metadata)) for r in RECORDS],
    )
    yield connection
    connection.close()


def found(stored: sqlite3.Connection, where: dict[str, Any]) -> list[int]:
    term, parameters = as_sql(parse_filter(where))
    rows = stored.execute(f"SELECT row FROM records WHERE {term}", parameters)
    return sorted(row for (row,) in rows)


def expected(where: dict[str, Any]) -> list[int]:
    return [record.id for record in RECORDS if meets(where, record)]


@pytest.mark.parametrize("operator", OPERATORS)
def test_what_counts_is_what_plain_python_finds(
    stored: sqlite3.Connection, operator: str
) -> None:
    ordered = operator not in ("$eq", "$ne")
    labels = [{"label": {operator: label}} for label in LABELS if label is not None]
    values = [
        {"f": {operator: value}}
        for value in VALUES
        if value is not None and not (ordered and isinstance(value, bool))
    ]
    both = [{**one, **other} for one in labels for other in values]
    for where in (*labels, *values, *both, {"none": {operator: "x"}}):
        assert found(stored, where) == expected(where), where


def test_one_of_several_and_several_at_once(stored: sqlite3.Connection) -> None:
    for where in (
        {"label": {"$in": ["a", "é", "none"]}},
        {"label": {"$in": []}},
        {"f": {"$in": [1, "1", True]}},
        {"label": {"$gte": "9", "$ne": "a"}, "f": {"$ne": 1}},
    ):
        assert found(stored, where) == expected(where), where


@pytest.mark.parametrize(
    "wanted", ["a", {"$in": ["a", "b"]}, {"$lt": "b"}, {"$gte": "a", "$lt": "b"}]
)
@pytest.mark.parametrize("more", [{}, {"f": {"$ne": 1}}])
def test_a_label_is_found_by_its_index(
    stored: sqlite3.Connection, wanted: Any, more: dict[str, Any]
) -> None:
    term, parameters = as_sql(parse_filter({"label": wanted, **more}))
    plan = f"EXPLAIN QUERY PLAN SELECT row FROM records WHERE {term}"
    steps = [step for *_, step in stored.execute(plan, parameters)]
    assert all(step.startswith("SEARCH records USING") for step in steps), steps
    assert all("records_label" in step for step in steps)
