"""The tables: one of the collections, and one of the records of each.

All lie in the schema `dce_tf`. A collection's table is named by a number, so that no
name of a user's becomes SQL, and a collection is replaced by the change of one row.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import Any

from psycopg import errors, sql

from dce_tf.base.errors import first_line
from dce_tf.base.program import PROGRAM
from dce_tf.index.postgres.address import Address
from dce_tf.index.postgres.client import Connection
from dce_tf.index.postgres.conditions import hnsw_of

SCHEMA = "dce_tf"
VERSION = 1

_LOCK = 0x64636574  # "dcet": held while the tables are made.
_MAKE = """
CREATE SCHEMA IF NOT EXISTS dce_tf;
CREATE TABLE dce_tf.schema_version (version integer NOT NULL);
CREATE TABLE dce_tf.collections (
    name text COLLATE "C" PRIMARY KEY,
    number bigint NOT NULL UNIQUE,
    about json NOT NULL,
    map json
);
CREATE SEQUENCE dce_tf.numbers OWNED BY dce_tf.collections.number;
CREATE TABLE dce_tf.fields (
    number bigint REFERENCES dce_tf.collections (number) ON DELETE CASCADE,
    name text COLLATE "C",
    PRIMARY KEY (number, name)
);
"""
# The name of a field is JSON text, as it may hold what PostgreSQL does not store.
_ADD_FIELDS = (
    "INSERT INTO dce_tf.fields (number, name) SELECT %s, unnest(%s::text[]) "
    "ON CONFLICT DO NOTHING"
)


@dataclasses.dataclass(frozen=True)
class Home:
    """Where the records of a collection are, and what is known of it.

    Attributes:
        number: Of its table.
        about: As of `shared.new_about`, with `spec`, the kind that was asked for.
        path: Where PostgreSQL looks for the words of pgvector.
    """

    number: int
    about: Mapping[str, Any]
    path: str

    @property
    def table(self) -> sql.Identifier:
        """The table of its records."""
        return sql.Identifier(SCHEMA, f"records_{self.number}")

    @property
    def index(self) -> sql.Identifier:
        """The HNSW index of its records, if there is one."""
        return sql.Identifier(SCHEMA, f"records_{self.number}_hnsw")


def prepare(connection: Connection, address: Address) -> None:
    """Makes what the collections of a database need, where it is missing.

    Raises:
        OSError: If pgvector is missing and may not be created.
        ValueError: If tables of another version are there.
    """
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        _check_encoding(connection, address)
        if vector_path(connection) is None:
            _create_extension(connection, address)
        if not _is_prepared(connection):
            connection.execute(_MAKE)
            connection.execute(
                "INSERT INTO dce_tf.schema_version VALUES (%s)", [VERSION]
            )
        check_version(connection, address)


def _check_encoding(connection: Connection, address: Address) -> None:
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise ValueError(
            f"{address}: the database's encoding is {encoding}; expected UTF8. Use "
            "another database: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0."
        )


def _create_extension(connection: Connection, address: Address) -> None:
    try:
        connection.execute("CREATE EXTENSION vector")
    except (errors.InsufficientPrivilege, errors.FeatureNotSupported) as error:
        raise OSError(
            f"{address}: the database has no pgvector. Install it on the server, and "
            "let one who may run CREATE EXTENSION vector in the database. PostgreSQL "
            f"says: {first_line(error)}."
        ) from error


def _is_prepared(connection: Connection) -> bool:
    query = "SELECT to_regclass('dce_tf.schema_version') IS NOT NULL"
    return _only(connection.execute(query).fetchall()) is True


def check_version(connection: Connection, address: Address) -> None:
    """Checks that the tables are such as this program reads.

    Raises:
        ValueError: If they are not.
    """
    found = connection.execute("SELECT version FROM dce_tf.schema_version").fetchall()
    versions = ", ".join(str(version) for (version,) in found) or "none"
    if versions != str(VERSION):
        raise ValueError(
            f"{address}: the tables of dce_tf there have the version {versions}; this "
            f"program reads and writes version {VERSION}. Use the dce_tf that made "
            "them, or another database."
        )


def vector_path(connection: Connection) -> str | None:
    """Returns the search path with pgvector in it; None if it is not there."""
    found = connection.execute(
        "SELECT quote_ident(nspname) FROM pg_extension "
        "JOIN pg_namespace ON pg_namespace.oid = extnamespace WHERE extname = 'vector'"
    ).fetchall()
    return f"pg_catalog, {_only(found)}" if found else None


def _only(found: list[tuple[Any, ...]]) -> Any:
    ((value,),) = found
    return value


def read_home(connection: Connection, address: Address) -> Home:
    """Returns where the records of a collection are.

    Raises:
        ValueError: If there is no such collection, or the tables have another version.
    """
    path = vector_path(connection)
    if path is not None and _is_prepared(connection):
        check_version(connection, address)
        query = "SELECT number, about FROM dce_tf.collections WHERE name = %s"
        for number, about in connection.execute(query, [address.name]):
            return Home(number, about, path)
    raise ValueError(
        f"{address}: there is no such collection of dce_tf. Make it with "
        f"`{PROGRAM} index EMBEDDINGS --postgres=DSN --name=NAME`."
    )


def create_records(connection: Connection, about: Mapping[str, Any]) -> Home:
    """Makes the table of the records of a new collection, without any index yet."""
    path = vector_path(connection)
    number = _only(connection.execute("SELECT nextval('dce_tf.numbers')").fetchall())
    home = Home(number, about, path or "")
    statement = """CREATE TABLE {} (
        id text COLLATE "C" NOT NULL,
        vector vector({}) NOT NULL,
        label text COLLATE "C",
        path text,
        metadata json NOT NULL,
        fields jsonb NOT NULL,
        thumbnail bytea
    )"""
    connection.execute(
        sql.SQL(statement).format(home.table, sql.Literal(about["embedding_dim"]))
    )
    return home


def finish_records(connection: Connection, home: Home) -> None:
    """Makes the indexes of a table that was filled.

    Raises:
        psycopg.errors.UniqueViolation: If an id occurs twice.
    """
    for statement in (
        "ALTER TABLE {} ADD PRIMARY KEY (id)",
        "CREATE INDEX ON {} (label)",
        "CREATE INDEX ON {} USING gin (fields jsonb_path_ops)",
    ):
        connection.execute(sql.SQL(statement).format(home.table))
    create_graph(connection, home)
    connection.execute(sql.SQL("ANALYZE {}").format(home.table))


def create_graph(
    connection: Connection, home: Home, *, meanwhile: bool = False
) -> None:
    """Makes the HNSW index, if the collection's kind has one.

    Args:
        connection: In a transaction, unless `meanwhile`.
        home: Where.
        meanwhile: Let others write while it is made.
    """
    graph = hnsw_of(home.about["kind"])
    if graph is None:
        return
    statement = (
        "CREATE INDEX {} {} ON {} USING hnsw (vector vector_ip_ops) "
        "WITH (m = {}, ef_construction = {})"
    )
    # It lies beside its table, whose schema is not said.
    connection.execute(
        sql.SQL(statement).format(
            sql.SQL("CONCURRENTLY" if meanwhile else ""),
            sql.Identifier(f"records_{home.number}_hnsw"),
            home.table,
            sql.Literal(graph.links),
            sql.Literal(graph.ef_build),
        )
    )


def put_home(connection: Connection, address: Address, home: Home) -> None:
    """Makes a collection known, in the place of one of its name.

    Raises:
        psycopg.errors.UniqueViolation: If another has made one meanwhile.
    """
    query = "SELECT number FROM dce_tf.collections WHERE name = %s"
    for (number,) in connection.execute(query, [address.name]).fetchall():
        # First the table, for which it waits until who writes to it has ended.
        old = Home(number, {}, "")
        connection.execute(sql.SQL("DROP TABLE {}").format(old.table))
        connection.execute("DELETE FROM dce_tf.collections WHERE number = %s", [number])
    connection.execute(
        "INSERT INTO dce_tf.collections (name, number, about) VALUES (%s, %s, %s)",
        [address.name, home.number, json.dumps(home.about)],
    )


def put_about(connection: Connection, home: Home) -> None:
    """Stores what is known of a collection."""
    connection.execute(
        "UPDATE dce_tf.collections SET about = %s WHERE number = %s",
        [json.dumps(home.about), home.number],
    )


def put_map(connection: Connection, home: Home, drawn: Mapping[str, Any]) -> None:
    """Stores a map in the place of an older one."""
    connection.execute(
        "UPDATE dce_tf.collections SET map = %s WHERE number = %s",
        [json.dumps(drawn), home.number],
    )


def read_map(connection: Connection, home: Home) -> dict[str, Any] | None:
    """Returns the map, if one was stored."""
    query = "SELECT map FROM dce_tf.collections WHERE number = %s"
    found = connection.execute(query, [home.number]).fetchall()
    drawn: dict[str, Any] | None = found[0][0] if found else None
    return drawn


def add_fields(connection: Connection, home: Home, names: Iterable[str]) -> None:
    """Stores names of metadata beside those there are."""
    # Rising, so that two who write do not wait for each other.
    texts = sorted(json.dumps(name) for name in names)
    if texts:
        connection.execute(_ADD_FIELDS, [home.number, texts])


def read_fields(connection: Connection, home: Home) -> list[str]:
    """Returns the names of metadata there are or were, sorted."""
    query = "SELECT name FROM dce_tf.fields WHERE number = %s"
    found = connection.execute(query, [home.number]).fetchall()
    return sorted(json.loads(text) for (text,) in found)
