"""The records of a collection on disk: an SQLite file, which loses nothing it took."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dce_tf.base.program import PROGRAM
from dce_tf.index.checks import as_json
from dce_tf.index.collection import DamagedError, Id, Places, Record, Vectors
from dce_tf.index.field_indexes import make_field_indexes, renew_field_indexes
from dce_tf.index.filters import Condition, as_sql
from dce_tf.index.places import as_places

Rows = npt.NDArray[np.int64]
"""Numbers of records: rising in the order they were stored, never given twice."""

BLOCK = 4096  # Vectors read at once.

APPLICATION = 0x64636574  # "dcet"
_BUSY_SECONDS = 30.0
_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
_UNWRITABLE = ("SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN")


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Says of an error of SQLite which file it is about, and what to do."""
    try:
        yield
    except sqlite3.ProgrammingError as error:
        raise ValueError(f"The collection {path.parent.name} is closed.") from error
    except sqlite3.DatabaseError as error:
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith("SQLITE_FULL"):
            raise OSError(errno.ENOSPC, _unwritten(path, error)) from error
        if name.startswith(_UNWRITABLE):
            raise OSError(_unwritten(path, error)) from error
        if name.startswith("SQLITE_BUSY"):
            raise OSError(f"{path} is in use by another program: {error}.") from error
        if name.startswith(_DAMAGED) or "no such table" in str(error):
            raise DamagedError(
                f"{path} is damaged: {error}. {_remedy(path)}"
            ) from error
        raise ValueError(
            f"SQLite refuses what was asked: {error}. What was stored is kept."
        ) from error


class RecordStore:
    """Records by number and by name; may be used from several threads.

    Args:
        path: The SQLite file.
        read_only: Never write, not even beside it if the folder cannot be written to.

    Raises:
        ValueError: If it is missing or damaged.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self._path = path
        self._read_only = read_only
        self._writing = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._open: list[sqlite3.Connection] = []
        if not path.is_file():
            raise DamagedError(f"{path}: there is no such file. {_remedy(path)}")
        with explained(self._path):
            self._writer = self._connect()
            (application,) = self._writer.execute("PRAGMA application_id").fetchone()
            self._writer.execute("SELECT row FROM records LIMIT 1").fetchone()
            query = "SELECT 1 FROM sqlite_master WHERE name = 'places'"
            # Files that were made before there were any have no such table.
            self._has_places = self._writer.execute(query).fetchone() is not None
            if application != APPLICATION:
                raise ValueError(f"{path} holds no records of dce_tf. {_remedy(path)}")
            if not read_only:
                renew_field_indexes(self._writer)

    def _connect(self) -> sqlite3.Connection:
        mode = "ro" if self._read_only else "rw"
        uri = f"{self._path.resolve().as_uri()}?mode={mode}"
        log = self._path.with_name(f"{self._path.name}-wal")
        if (
            self._read_only
            and not log.exists()
            and not os.access(self._path.parent, os.W_OK)
        ):
            # Readers too want to write beside the file; without a log there is no
            # writer to take turns with.
            uri += "&immutable=1"
        connection = sqlite3.connect(
            uri,
            uri=True,
            timeout=_BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        self._open.append(connection)
        if not self._read_only:
            # A commit is on the disk when it returns, power cut or not.
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
        return connection

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with explained(self._path):
            try:
                connection = self._idle.pop()
            except IndexError:
                connection = self._connect()
            try:
                yield connection
            finally:
                self._idle.append(connection)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._writing, explained(self._path):
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Closes the file; what was stored moves from the log into it."""
        with self._writing:
            for connection in reversed(self._open):
                connection.close()

    def put(self, records: Sequence[Record], vectors: Vectors) -> tuple[Rows, Rows]:
        """Stores records in the place of those of the same name, all or none.

        Args:
            records: What to store; checked.
            vectors: Of unit length, float32 `(num_records, embedding_dim)`.

        Returns:
            The numbers of the new records, and of those they replace.
        """
        # Refused before the first is written.
        metadata = [as_json(record.metadata) for record in records]
        with self._transaction() as connection:
            replaced = self._remove(connection, [record.id for record in records])
            added = np.empty(len(records), np.int64)
            for place, record in enumerate(records):
                cursor = connection.execute(
                    "INSERT INTO records (id, label, path, metadata) "
                    "VALUES (?, ?, ?, ?)",
                    (record.id, record.label, record.path, metadata[place]),
                )
                added[place] = row = cursor.lastrowid or 0
                connection.execute(
                    "INSERT INTO vectors VALUES (?, ?)", (row, vectors[place].tobytes())
                )
                if record.thumbnail is not None:
                    connection.execute(
                        "INSERT INTO thumbnails VALUES (?, ?)", (row, record.thumbnail)
                    )
                if record.places is not None and self._has_places:
                    connection.execute(
                        "INSERT INTO places VALUES (?, ?)",
                        (row, record.places.tobytes()),
                    )
            names = {name for record in records for name in record.metadata}
            connection.executemany(
                "INSERT OR IGNORE INTO fields VALUES (?)", [(name,) for name in names]
            )
        return added, replaced

    def remove(self, ids: Sequence[Id]) -> Rows:
        """Removes records of these names; returns the numbers of those there were."""
        with self._transaction() as connection:
            return self._remove(connection, ids)

    def _remove(self, connection: sqlite3.Connection, ids: Sequence[Id]) -> Rows:
        found = []
        for record_id in ids:
            query = "DELETE FROM records WHERE id = ? RETURNING row"
            found += connection.execute(query, (record_id,)).fetchall()
        own = ("vectors", "thumbnails", *(["places"] if self._has_places else []))
        for table in own:
            connection.executemany(f"DELETE FROM {table} WHERE row = ?", found)
        connection.executemany("INSERT INTO gone VALUES (?)", found)
        return _as_rows(found)

    def forget_gone(self, rows: Rows) -> None:
        """Drops the memory that these were removed: no build has them any more."""
        with self._transaction() as connection:
            connection.executemany(
                "DELETE FROM gone WHERE row = ?", [(row,) for row in rows.tolist()]
            )

    def gone(self) -> Rows:
        """Returns the numbers of records removed that the last build may have."""
        with self._reading() as connection:
            return _as_rows(connection.execute("SELECT row FROM gone").fetchall())

    @contextlib.contextmanager
    def snapshot(
        self, dim: int, above: int = 0
    ) -> Iterator[tuple[int, Iterator[tuple[Rows, Vectors]]]]:
        """Reads the vectors of one moment, in the order of their numbers.

        Args:
            dim: Width of the embeddings.
            above: Leave out the numbers up to this one.

        Yields:
            How many there are, and an iterator over blocks of them: numbers, and
            float32 `(length of the block, dim)`.
        """
        with self._reading() as connection:
            connection.execute("BEGIN")
            try:
                query = "SELECT {} FROM vectors WHERE row > ? ORDER BY row"
                found = connection.execute(query.format("count(*)"), (above,))
                (count,) = found.fetchone()
                cursor = connection.execute(query.format("row, vector"), (above,))
                yield count, _blocks(cursor, dim)
                cursor.close()
            finally:
                connection.execute("ROLLBACK")

    def changes(self) -> int:
        """Returns a number that is another one after others have written."""
        with self._writing, explained(self._path):
            (number,) = self._writer.execute("PRAGMA data_version").fetchone()
            return int(number)

    def matching(self, conditions: Sequence[Condition]) -> Rows:
        """Returns the numbers of the records that meet the conditions, rising."""
        term, parameters = as_sql(conditions)
        with self._reading() as connection:
            query = f"SELECT row FROM records WHERE {term}"
            return np.sort(_as_rows(connection.execute(query, parameters).fetchall()))

    def index_fields(self) -> None:
        """Makes filters fast on fields that came since the collection was made."""
        fields = self.fields()
        with self._writing, explained(self._path):
            make_field_indexes(self._writer, fields)

    def hits(self, rows: Iterable[int]) -> dict[int, tuple[Id, str | None, Any]]:
        """Returns id, label and metadata of records by number."""
        query = (
            "SELECT row, id, label, metadata FROM records "
            "WHERE row IN (SELECT value FROM json_each(?))"
        )
        with self._reading() as connection:
            found = connection.execute(query, (json.dumps(list(rows)),)).fetchall()
        return {
            row: (record_id, label, json.loads(metadata))
            for row, record_id, label, metadata in found
        }

    def get(self, ids: Sequence[Id], dim: int) -> list[Record | None]:
        """Returns the records of these names; None for those there are none of."""
        query = (
            "SELECT vector, label, path, metadata, jpeg FROM records "
            "JOIN vectors USING (row) LEFT JOIN thumbnails USING (row) WHERE id = ?"
        )
        records: list[Record | None] = []
        with self._reading() as connection:
            for record_id in ids:
                found = connection.execute(query, (record_id,)).fetchone()
                if found is None:
                    records.append(None)
                    continue
                vector, label, path, metadata, jpeg = found
                array = np.frombuffer(vector, np.float32, dim)
                records.append(
                    Record(record_id, array, label, path, json.loads(metadata), jpeg)
                )
        return records

    def places(self, ids: Sequence[Id], numbers: int) -> list[Places | None]:
        """Returns the codes of records of these names; None for those that have none.

        Args:
            ids: Their names.
            numbers: Of each place.
        """
        if not self._has_places:
            return [None] * len(ids)
        query = "SELECT codes FROM records JOIN places USING (row) WHERE id = ?"
        with self._reading() as connection:
            found = [connection.execute(query, (each,)).fetchone() for each in ids]
        return [None if each is None else as_places(each[0], numbers) for each in found]

    def sample(self, count: int, dim: int) -> Vectors:
        """Returns vectors drawn at random, float32 `(num_drawn, dim)`."""
        query = (
            "SELECT row, vector FROM vectors WHERE row IN "
            "(SELECT row FROM records ORDER BY random() LIMIT ?)"
        )
        with self._reading() as connection:
            cursor = connection.execute(query, (count,))
            blocks = [vectors for _, vectors in _blocks(cursor, dim)]
        return np.concatenate([np.empty((0, dim), np.float32), *blocks])

    def picture(self, record_id: Id) -> tuple[str | None, bytes | None] | None:
        """Returns the path and the thumbnail of a record; None if there is none."""
        query = (
            "SELECT path, jpeg FROM records LEFT JOIN thumbnails USING (row) "
            "WHERE id = ?"
        )
        with self._reading() as connection:
            found: tuple[str | None, bytes | None] | None = connection.execute(
                query, (record_id,)
            ).fetchone()
            return found

    def labels(self, most: int) -> list[str]:
        """Returns the labels there are, sorted, up to a number of them."""
        query = (
            "SELECT DISTINCT label FROM records WHERE label IS NOT NULL "
            "ORDER BY label LIMIT ?"
        )
        with self._reading() as connection:
            return [name for (name,) in connection.execute(query, (most,))]

    def fields(self) -> list[str]:
        """Returns the names of metadata there are or were, sorted."""
        with self._reading() as connection:
            query = "SELECT name FROM fields ORDER BY name"
            return [name for (name,) in connection.execute(query)]


def _unwritten(path: Path, error: sqlite3.Error) -> str:
    return (
        f"{path} cannot be read or written: {error}. What was stored is kept; make "
        "room, then try again."
    )


def _remedy(path: Path) -> str:
    return (
        f"Make {path.parent} again with `{PROGRAM} index EMBEDDINGS --overwrite`, or "
        "put a copy back."
    )


def _as_rows(found: Sequence[Sequence[Any]]) -> Rows:
    return np.fromiter((each[0] for each in found), np.int64, len(found))


def _blocks(cursor: sqlite3.Cursor, dim: int) -> Iterator[tuple[Rows, Vectors]]:
    while block := cursor.fetchmany(BLOCK):
        joined = b"".join(vector for _, vector in block)
        if len(joined) != 4 * dim * len(block):
            raise DamagedError(
                f"Vectors of {len(joined) // len(block)} bytes are stored, where the "
                f"manifest says {4 * dim}. Make the index again."
            )
        yield _as_rows(block), np.frombuffer(joined, np.float32).reshape(-1, dim)
