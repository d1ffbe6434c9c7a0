"""SQLite's indexes of the fields of the metadata, by which filters find records."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from dce_tf.index.filters import field_type, field_value, is_filterable

MOST_FIELDS = 16  # Each takes 20 bytes and the value per record, and time per change.

_MAJOR, _MINOR, _PATCH = sqlite3.sqlite_version_info
_VERSION = 1_000_000 * _MAJOR + 1000 * _MINOR + _PATCH


def make_field_indexes(connection: sqlite3.Connection, fields: Iterable[str]) -> None:
    """Makes an index of each field that has none, and drops those of other fields.

    Args:
        connection: To the file of the records; each index is a transaction, unless one
            has begun.
        fields: Names of metadata. The first `MOST_FIELDS` in alphabetical order have
            an index; a filter on another reads every record.
    """
    named = sorted(field for field in fields if is_filterable(field))
    # SQLite does not tell capitals apart in names, so each is spelled in hexadecimal.
    wanted = {f"field_{field.encode().hex()}": field for field in named[:MOST_FIELDS]}
    known = _field_indexes(connection)
    for index in known - wanted.keys():
        connection.execute(f"DROP INDEX {index}")
    for index in wanted.keys() - known:
        field = wanted[index]
        value = field_value(field)
        # The type as well, so that one look tells 1 from true.
        connection.execute(
            f"CREATE INDEX {index} ON records ({value}, {field_type(field)}) "
            f"WHERE {value} IS NOT NULL"
        )
    connection.execute(f"PRAGMA user_version = {_VERSION}")


def renew_field_indexes(connection: sqlite3.Connection) -> None:
    """Makes them again if another version of SQLite did, which may read JSON otherwise.

    What an expression gives must not change under an index of it: SQLite would take
    the file for damaged.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == _VERSION:
        return
    for index in _field_indexes(connection):
        connection.execute(f"REINDEX {index}")
    connection.execute(f"PRAGMA user_version = {_VERSION}")


def _field_indexes(connection: sqlite3.Connection) -> set[str]:
    query = "SELECT name FROM sqlite_master WHERE type = 'index'"
    names = {name for (name,) in connection.execute(query)}
    return {name for name in names if name.startswith("field_")}
