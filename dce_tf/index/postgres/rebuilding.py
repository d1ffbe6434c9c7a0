"""Makes the search structure of a table again, while others use it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

from psycopg import sql

from dce_tf.index.postgres.address import Address
from dce_tf.index.postgres.client import Connection
from dce_tf.index.postgres.conditions import choose_kind, hnsw_of
from dce_tf.index.postgres.tables import Home, create_graph, put_about, read_home

_LOCK = 0x64636574  # "dcet", with the number of the table.


def rebuild(connection: Connection, address: Address, count: int) -> Home:
    """Makes the graph again, so that it has no dead records, or by another kind.

    Args:
        connection: Not in a transaction.
        address: The collection.
        count: How many records there are, for the kind `auto`.

    Returns:
        What is known of the collection now.

    Raises:
        ValueError: If another process rebuilds it.
    """
    home = read_home(connection, address)
    with _alone(connection, address, home):
        about = home.about
        kind = choose_kind(about["spec"], about["embedding_dim"], count)
        home = dataclasses.replace(home, about={**about, "kind": kind})
        _make_again(connection, home)
        connection.execute(sql.SQL("ANALYZE {}").format(home.table))
        # Last: a graph that is not known to be there changes no answer.
        put_about(connection, home)
    return home


def _make_again(connection: Connection, home: Home) -> None:
    path = connection.execute("SHOW search_path").fetchall()[0][0]
    # What is made concurrently cannot be in a transaction, to which settings are bound.
    connection.execute("SELECT set_config('search_path', %s, false)", [home.path])
    try:
        drop = sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(home.index)
        if hnsw_of(home.about["kind"]) is None:
            connection.execute(drop)
        elif _is_valid(connection, home):
            reindex = sql.SQL("REINDEX INDEX CONCURRENTLY {}").format(home.index)
            connection.execute(reindex)
        else:
            connection.execute(drop)
            create_graph(connection, home, meanwhile=True)
    finally:
        if not connection.closed:
            connection.execute("SELECT set_config('search_path', %s, false)", [path])


def _is_valid(connection: Connection, home: Home) -> bool:
    """Returns whether there is a graph that was not left half made."""
    query = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)"
    name = home.index.as_string(connection)
    return connection.execute(query, [name]).fetchall() == [(True,)]


@contextlib.contextmanager
def _alone(connection: Connection, address: Address, home: Home) -> Iterator[None]:
    # Never waiting for it: who makes an index waits for all who wait.
    key = [_LOCK << 32 | home.number & 0xFFFFFFFF]
    ((got,),) = connection.execute("SELECT pg_try_advisory_lock(%s)", key).fetchall()
    if not got:
        raise ValueError(f"{address.name} is being rebuilt by another process already.")
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute("SELECT pg_advisory_unlock(%s)", key)
