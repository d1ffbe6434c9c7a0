"""Filters as SQL: they find what plain Python does, and a label by its index."""

import itertools
import json
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from dce_tf.index import Record
from dce_tf.index.bulk import _INDEXES, _SCHEMA
from dce_tf.index.checks import MOST_LEVELS, as_json
from dce_tf.index.field_indexes import (
    MOST_FIELDS,
    make_field_indexes,
    renew_field_indexes,
)
from dce_tf.index.filters import as_sql, parse_filter
from tests.index.oracle import meets

LABELS = (None, "", "a", "b", "é", "Z", "10", "9")
VALUES = (None, True, False, 0, 1, 1.0, -2.5, "1", "true", "é")
OPERATORS = ("$eq", "$ne", "$lt", "$lte", "$gt", "$gte")
RECORDS = [
    Record(number, [1.0], label, None, {} if value is None else {"f": value})
    for number, (label, value) in enumerate(itertools.product(LABELS, VALUES), 1)
]


@pytest.fixture(scope="module", params=[True, False])
def stored(request: pytest.FixtureRequest) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.executescript(_SCHEMA + _INDEXES)
    connection.executemany(
        "INSERT INTO records (row, id, label, metadata) VALUES (?, ?, ?, ?)",
        [(r.id, r.id, r.label, json.dumps(r.metadata)) for r in RECORDS],
    )
    make_field_indexes(connection, ["f"] if request.param else [])
    yield connection
    connection.close()


def steps_of(connection: sqlite3.Connection, where: dict[str, Any]) -> list[str]:
    term, parameters = as_sql(parse_filter(where))
    plan = f"EXPLAIN QUERY PLAN SELECT row FROM records WHERE {term}"
    return [step for *_, step in connection.execute(plan, parameters)]


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
    steps = steps_of(stored, {"label": wanted, **more})
    assert all(step.startswith("SEARCH records USING") for step in steps), steps
    assert all("records_label" in step for step in steps)


@pytest.mark.parametrize(
    "wanted", ["a", 1, True, {"$in": ["a", 1, False]}, {"$gt": 2}, {"$lt": "b"}]
)
@pytest.mark.parametrize("stored", [True], indirect=True)
def test_a_field_is_found_by_its_index(stored: sqlite3.Connection, wanted: Any) -> None:
    steps = steps_of(stored, {"f": wanted})
    used = [step for step in steps if step.startswith("SEARCH records USING")]
    assert used, steps
    assert all("field_66" in step for step in used)
    assert not any(step.startswith("SCAN") for step in steps)


NAMES = ("f", "F", "é", "価格", "it's", "a.b[0]", "$", "\x7f", "😀", " ", "u00e9")


@pytest.mark.parametrize("is_old", [False, True])
@pytest.mark.parametrize("is_indexed", [False, True])
def test_every_name_of_a_field_is_found(is_old: bool, is_indexed: bool) -> None:
    connection = sqlite3.connect(":memory:")
    connection.executescript(_SCHEMA + _INDEXES)
    for row, name in enumerate(NAMES):
        # Collections of before 2026-12 have their metadata in ASCII.
        text = json.dumps({name: row}) if is_old else as_json({name: row})
        connection.execute(
            "INSERT INTO records (row, id, metadata) VALUES (?, ?, ?)", (row, row, text)
        )
    if is_indexed:
        make_field_indexes(connection, NAMES)
    for row, name in enumerate(NAMES):
        assert found(connection, {name: row}) == [row], name
        assert found(connection, {name: {"$ne": row}}) == [
            other for other in range(len(NAMES)) if other != row
        ]
        if is_indexed:
            (step,) = steps_of(connection, {name: row})
            assert name.encode().hex() in step
    connection.close()


def test_only_the_first_fields_have_an_index() -> None:
    connection = sqlite3.connect(":memory:")
    connection.executescript(_SCHEMA)
    fields = [f"f{number:02}" for number in range(MOST_FIELDS + 1)]
    make_field_indexes(connection, ['"', *reversed(fields)])
    (is_last, is_next) = (
        steps_of(connection, {field: 1})[0].startswith("SEARCH")
        for field in fields[-2:]
    )
    assert (is_last, is_next) == (True, False)
    make_field_indexes(connection, fields[-1:])
    steps = {field: steps_of(connection, {field: 1})[0] for field in fields[-2:]}
    assert [step.split()[0] for step in steps.values()] == ["SCAN", "SEARCH"]
    connection.close()


def test_indexes_of_another_sqlite_are_made_again() -> None:
    connection = sqlite3.connect(":memory:")
    connection.executescript(_SCHEMA)
    make_field_indexes(connection, ["f"])
    insert = "INSERT INTO records (row, id, metadata) VALUES (1, 1, ?)"
    connection.execute(insert, [json.dumps({"f": 1})])
    ran: list[str] = []
    connection.set_trace_callback(ran.append)
    renew_field_indexes(connection)
    assert not any(statement.startswith("REINDEX") for statement in ran)
    connection.execute("PRAGMA user_version = 3039000")
    renew_field_indexes(connection)
    renew_field_indexes(connection)
    assert sum(statement == "REINDEX field_66" for statement in ran) == 1
    assert found(connection, {"f": 1}) == [1]
    connection.close()


def test_metadata_nested_too_deeply_is_refused() -> None:
    def nested(levels: int) -> dict[str, Any]:
        value: Any = {}
        for _ in range(levels - 2):
            value = [value]
        return {"f": value}

    assert as_json(nested(MOST_LEVELS))
    with pytest.raises(ValueError, match="nested more than 100 levels"):
        as_json(nested(MOST_LEVELS + 1))


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**30])
def test_whole_numbers_of_more_than_64_bits_are_refused(number: int) -> None:
    with pytest.raises(ValueError, match="more than 64 bits"):
        parse_filter({"f": {"$ne": number}})
    assert parse_filter({"f": float(2**63)})
    assert parse_filter({"f": {"$in": [2**63 - 1, -(2**63)]}})


def test_text_that_sqlite_would_cut_is_refused() -> None:
    with pytest.raises(ValueError, match="character 0"):
        as_json({"f": "a\0b"})
    kept = {"f": "a\\u0000", "é": "\ud800", "deep": ["\0"]}
    assert json.loads(as_json(kept)) == kept
