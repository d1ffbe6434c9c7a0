"""Makes the records of a collection, many at a time."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from dce_tf.index.checks import as_json
from dce_tf.index.collection import Record, Vectors
from dce_tf.index.field_indexes import make_field_indexes
from dce_tf.index.records import APPLICATION, explained

# An id has no type of its own, so that 1 and "1" are two. The vectors lie apart, so
# that a filter reads past none.
_SCHEMA = f"""
CREATE TABLE records (
    row INTEGER PRIMARY KEY AUTOINCREMENT, id NOT NULL, label TEXT, path TEXT,
    metadata TEXT NOT NULL);
CREATE TABLE vectors (row INTEGER PRIMARY KEY, vector BLOB NOT NULL);
CREATE TABLE thumbnails (row INTEGER PRIMARY KEY, jpeg BLOB NOT NULL);
CREATE TABLE places (row INTEGER PRIMARY KEY, codes BLOB NOT NULL);
CREATE TABLE gone (row INTEGER PRIMARY KEY);
CREATE TABLE fields (name TEXT PRIMARY KEY) WITHOUT ROWID;
PRAGMA application_id = {APPLICATION};
"""
_INDEXES = """
CREATE UNIQUE INDEX records_id ON records (id);
CREATE INDEX records_label ON records (label);
"""


class BulkWriter:
    """Fills a new file of records quickly: what a crash leaves of it is of no use.

    Args:
        path: The SQLite file to make.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._fields: set[str] = set()
        self._row = 0
        for setting in ("journal_mode = OFF", "synchronous = OFF"):
            self._connection.execute(f"PRAGMA {setting}")
        self._connection.executescript(_SCHEMA)
        self._connection.execute("BEGIN")

    def __enter__(self) -> BulkWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def add(self, records: Sequence[Record], vectors: Vectors) -> None:
        """Appends records; their vectors as of `RecordStore.put`."""
        rows = range(self._row + 1, self._row + 1 + len(records))
        self._row += len(records)
        numbered = list(zip(rows, records, vectors, strict=True))
        with explained(self._path):
            self._connection.executemany(
                "INSERT INTO records VALUES (?, ?, ?, ?, ?)",
                [
                    (row, each.id, each.label, each.path, as_json(each.metadata))
                    for row, each, _ in numbered
                ],
            )
            self._connection.executemany(
                "INSERT INTO vectors VALUES (?, ?)",
                [(row, vector.tobytes()) for row, _, vector in numbered],
            )
            self._connection.executemany(
                "INSERT INTO thumbnails VALUES (?, ?)",
                [
                    (row, each.thumbnail)
                    for row, each, _ in numbered
                    if each.thumbnail is not None
                ],
            )
            self._connection.executemany(
                "INSERT INTO places VALUES (?, ?)",
                [
                    (row, each.places.tobytes())
                    for row, each, _ in numbered
                    if each.places is not None
                ],
            )
        for each in records:
            self._fields.update(each.metadata)

    def finish(self) -> None:
        """Finishes the file.

        Raises:
            ValueError: If a name occurs twice.
        """
        names = [(name,) for name in sorted(self._fields)]
        with explained(self._path):
            self._connection.executemany("INSERT INTO fields VALUES (?)", names)
            self._connection.execute("COMMIT")
            try:
                self._connection.executescript(_INDEXES)
            except sqlite3.IntegrityError as error:
                query = "SELECT id FROM records GROUP BY id HAVING count(*) > 1 LIMIT 1"
                (record_id,) = self._connection.execute(query).fetchone()
                raise ValueError(
                    f"id: found {record_id!r} more than once; expected each once."
                ) from error
            make_field_indexes(self._connection, self._fields)
            self._connection.close()
        with self._path.open("rb") as file:
            os.fsync(file.fileno())
