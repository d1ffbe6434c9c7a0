"""SQLite's indexes of the fields of the metadata, by which filters find records."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from dce_tf.index.filters import field_type, field_value, is_filterable

MOST_FIELDS = 16  # Each takes 20 bytes per record, and time in every change.


def make_field_indexes(connection: sqlite3.Connection, fields: Iterable[str]) -> None:
    """Makes an index of each field that has none.

    Args:
        connection: To the file of the records.
        fields: Names of metadata. The first `MOST_FIELDS` in alphabetical order have
            an index; a filter on another reads every record.
    """
    named = sorted(field for field in fields if is_filterable(field))
    for field in named[:MOST_FIELDS]:
        value = field_value(field)
        # The type as well, so that one look tells 1 from true. SQLite does not tell
        # capitals apart in names, so a name is spelled in hexadecimal.
        connection.execute(
            f"CREATE INDEX IF NOT EXISTS field_{field.encode().hex()} "
            f"ON records ({value}, {field_type(field)}) WHERE {value} IS NOT NULL"
        )
