"""A collection in PostgreSQL, which any number of processes may read and write."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from psycopg import errors, sql

from dce_tf.index.checks import check_id, check_k, unit_vectors
from dce_tf.index.collection import Hit, Id, Record, Vectors
from dce_tf.index.filters import Condition, parse_filter
from dce_tf.index.maps import draw_map
from dce_tf.index.pictures import SIDE
from dce_tf.index.postgres import rebuilding
from dce_tf.index.postgres.address import Address
from dce_tf.index.postgres.client import Connection, Connections, explained
from dce_tf.index.postgres.conditions import NUL, encode_id
from dce_tf.index.postgres.records import as_record, as_rows
from dce_tf.index.postgres.searching import search
from dce_tf.index.postgres.tables import (
    Home,
    add_fields,
    put_map,
    read_fields,
    read_home,
    read_map,
)
from dce_tf.index.shared import SharedCollection

T = TypeVar("T")

_RECORD = "id, vector::real[], label, path, metadata, thumbnail"


class PostgresCollection(SharedCollection):
    """Records of a table of PostgreSQL.

    A change is one transaction: all of it is on the server's disk when the method
    returns, or nothing is kept. Other processes see it from then on.

    Args:
        address: Where it is.
        read_only: Never change it.

    Raises:
        OSError: If the server cannot be reached, or refuses.
        ValueError: If there is no such collection of dce_tf, or the tables there are of
            another version.
    """

    def __init__(self, address: Address, *, read_only: bool = False) -> None:
        self._address = address
        self._rebuilding = threading.Lock()
        self._connections = Connections(address)
        try:
            self._home = self._read_home()
        except BaseException:
            self._connections.close()
            raise
        super().__init__(address, self._home.about, read_only=read_only)

    def _read_home(self) -> Home:
        with explained(self._address), self._connections.taken() as connection:
            return read_home(connection, self._address)

    def _within(
        self,
        work: Callable[[Connection, Home], T],
        *,
        writing: bool = False,
        **settings: str,
    ) -> T:
        """Does what is to be done in one transaction, with the table of now."""
        home = self._home
        try:
            return self._tried(home, work, writing, settings)
        except errors.UndefinedTable:
            # Another process has put another collection in its place.
            return self._tried(self._moved(), work, writing, settings)

    def _tried(
        self,
        home: Home,
        work: Callable[[Connection, Home], T],
        writing: bool,
        settings: Mapping[str, str],
    ) -> T:
        settings = {"search_path": home.path, **settings}
        with self._connections.transaction(writing=writing, **settings) as connection:
            return work(connection, home)

    def _moved(self) -> Home:
        """Returns where the collection is now.

        Raises:
            OSError: If it is gone, or of another model.
        """
        try:
            home = self._read_home()
        except ValueError as error:
            raise OSError(str(error)) from error
        for name in ("fingerprint", "embedding_dim"):
            if home.about[name] != self._about[name]:
                raise OSError(
                    f"{self._address} was replaced by a collection of another model, "
                    f"{home.about['fingerprint']}; it was opened with "
                    f"{self.fingerprint}. Open it again, with the other model."
                )
        self._take(home)
        return home

    def _take(self, home: Home) -> None:
        self._home, self._about = home, dict(home.about)

    def __len__(self) -> int:
        def count(connection: Connection, home: Home) -> int:
            statement = sql.SQL("SELECT count(*) FROM {}").format(home.table)
            ((found,),) = connection.execute(statement).fetchall()
            return int(found)

        with explained(self._address):
            return self._within(count)

    def search(
        self, queries: Vectors, k: int, where: Mapping[str, Any] | None = None
    ) -> list[list[Hit]]:
        """Finds the records nearest to each query; see `Collection`."""
        vectors = unit_vectors(queries, self.embedding_dim, "query")
        conditions: Sequence[Condition] = parse_filter(where)
        wanted = check_k(k)
        with explained(self._address):
            return self._within(
                lambda connection, home: search(
                    connection, home, vectors, wanted, conditions
                )
            )

    def get(self, ids: Sequence[Id]) -> list[Record | None]:
        """Returns the records of these names; see `Collection`."""
        found = {each.id: each for each in map(as_record, self._rows(_RECORD, ids))}
        return [found.get(each) for each in ids]

    def _rows(self, columns: str, ids: Sequence[Id]) -> list[tuple[Any, ...]]:
        names = _names(ids)

        def find(connection: Connection, home: Home) -> list[tuple[Any, ...]]:
            statement = sql.SQL("SELECT {} FROM {} WHERE id = ANY(%s)").format(
                sql.SQL(columns), home.table
            )
            return connection.execute(statement, [names]).fetchall()

        with explained(self._address):
            return self._within(find)

    def upsert(self, records: Sequence[Record]) -> None:
        """Stores records; see `Collection`."""
        self._check_writable()
        # In the order of their names, so that two who write never wait for each other.
        rows = sorted(as_rows(records, self.embedding_dim))
        names = {name for record in records for name in record.metadata}

        def put(connection: Connection, home: Home) -> None:
            statement = sql.SQL(_UPSERT).format(home.table)
            with connection.cursor() as cursor:
                cursor.executemany(statement, rows)
            add_fields(connection, home, names)

        with explained(self._address):
            self._within(put, writing=True)

    def delete(self, ids: Sequence[Id]) -> int:
        """Removes records; see `Collection`."""
        self._check_writable()
        names = _names(ids)

        def remove(connection: Connection, home: Home) -> int:
            statement = sql.SQL(_DELETE).format(table=home.table)
            return connection.execute(statement, [names]).rowcount

        with explained(self._address):
            return self._within(remove, writing=True)

    def rebuild(self) -> None:
        """Makes the search structure and the map again; see `Collection`.

        Others search and write meanwhile.
        """
        self._check_writable()
        with self._rebuilding, explained(self._address):
            count = len(self)
            with self._connections.taken() as connection:
                self._take(rebuilding.rebuild(connection, self._address, count))
            plan = self._map_plan()
            if plan is None:
                return
            statement = (
                f"SELECT {_RECORD} FROM {{}} ORDER BY hashtextextended(id, 0) LIMIT %s"
            )

            def sample(connection: Connection, home: Home) -> list[Record]:
                query = sql.SQL(statement).format(home.table)
                return [
                    as_record(each) for each in connection.execute(query, [plan.points])
                ]

            drawn = draw_map(plan, self._within(sample))
            self._within(
                lambda connection, home: put_map(connection, home, drawn), writing=True
            )

    def describe(self) -> dict[str, Any]:
        """Returns what there is to know; see `Collection`."""
        with explained(self._address):
            self._moved()
            fields = self._within(read_fields)
        return self._described(len(self), fields)

    def labels(self, most: int = 1000) -> list[str]:
        """Returns the classes there are; see `Collection`."""

        def find(connection: Connection, home: Home) -> list[str]:
            statement = sql.SQL(_LABELS).format(table=home.table)
            return [label for (label,) in connection.execute(statement, [most])]

        with explained(self._address):
            return self._within(find)

    def sample(self, count: int) -> Vectors:
        """Returns vectors in the order of a hash of their ids; see `Collection`."""

        def draw(connection: Connection, home: Home) -> list[tuple[Any, ...]]:
            statement = sql.SQL(_SAMPLE).format(table=home.table)
            return connection.execute(statement, [count]).fetchall()

        with explained(self._address):
            found = self._within(draw)
        vectors = [vector for (vector,) in found]
        return np.asarray(vectors, np.float32).reshape(-1, self.embedding_dim)

    def thumbnail(self, record_id: Id, side: int = SIDE) -> bytes | None:
        """Returns a small JPEG of a record; see `Collection`."""
        found = self._rows("path, thumbnail", [record_id])
        if not found:
            return None
        path, jpeg = found[0]
        return self._picture(path, jpeg, side)

    def map(self) -> dict[str, Any] | None:
        """Returns the gallery in two dimensions; see `Collection`."""
        with explained(self._address):
            return self._within(read_map)

    def close(self) -> None:
        """Gives the connections back."""
        self._connections.close()


_UPSERT = """INSERT INTO {} (id, vector, label, path, metadata, fields, thumbnail)
VALUES (%s, %s::vector, %s, %s, %s::json, %s::jsonb, %s)
ON CONFLICT (id) DO UPDATE SET vector = excluded.vector, label = excluded.label,
    path = excluded.path, metadata = excluded.metadata, fields = excluded.fields,
    thumbnail = excluded.thumbnail"""
_DELETE = """WITH chosen AS MATERIALIZED (
    SELECT id FROM {table} WHERE id = ANY(%s) ORDER BY id FOR UPDATE
) DELETE FROM {table} AS records USING chosen WHERE records.id = chosen.id"""
_SAMPLE = """SELECT vector::real[] FROM {table}
ORDER BY hashtextextended(id, 0) LIMIT %s"""
# From each label the index leads to the next, however many records have it.
_LABELS = """WITH RECURSIVE found (label) AS (
    SELECT min(label) FROM {table}
    UNION ALL
    SELECT (SELECT min(label) FROM {table} AS records WHERE records.label > found.label)
    FROM found WHERE found.label IS NOT NULL
) SELECT label FROM found WHERE label IS NOT NULL LIMIT %s"""


def _names(ids: Sequence[Id]) -> list[str]:
    """Returns ids as they are stored, without those that cannot be."""
    names = [encode_id(check_id(each)) for each in ids]
    return [name for name in names if NUL not in name]
