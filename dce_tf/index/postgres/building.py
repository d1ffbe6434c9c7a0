"""Makes a collection in PostgreSQL."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Sequence

from psycopg import errors, sql

from dce_tf.base.errors import UsageError
from dce_tf.index.calibration import Calibration
from dce_tf.index.collection import Record
from dce_tf.index.maps import MapPlan, Reservoir, draw_map
from dce_tf.index.postgres.address import Address
from dce_tf.index.postgres.client import Connection, Connections, explained
from dce_tf.index.postgres.conditions import choose_kind, decode_id
from dce_tf.index.postgres.records import COLUMNS, as_rows
from dce_tf.index.postgres.tables import (
    Home,
    add_fields,
    create_records,
    finish_records,
    prepare,
    put_home,
    put_map,
    vector_path,
)
from dce_tf.index.shared import new_about


def build_postgres(
    address: Address,
    blocks: Iterable[Sequence[Record]],
    *,
    fingerprint: str,
    embedding_dim: int,
    count: int = 0,
    kind: str = "auto",
    model: str = "",
    image_root: str | None = None,
    map_plan: MapPlan | None = None,
    calibration: Calibration | None = None,
    overwrite: bool = False,
) -> tuple[int, str]:
    """Makes a collection in PostgreSQL, in one transaction.

    Whatever ends it in between leaves what was there before, and until it is whole a
    collection that is replaced is searched as ever.

    Args:
        address: Where.
        blocks: The records, a few thousand at a time.
        fingerprint: Which model made the embeddings.
        embedding_dim: Their width.
        count: About how many there will be, for the kind `auto`.
        kind: How it is searched: `auto`, `exact` or `hnsw`, with options.
        model: Where the model lies.
        image_root: Folder that the paths of records are relative to.
        map_plan: How to make a map, if one is wanted.
        calibration: What scores mean, if that is known.
        overwrite: Take the place of a collection that is there.

    Returns:
        How many records there are, and how they are searched.

    Raises:
        OSError: If the server cannot be reached, or refuses.
        UsageError: If a collection is there already, or `kind` is none.
        ValueError: If a record cannot be stored, or a name occurs twice.
    """
    chosen = choose_kind(kind, embedding_dim, count)
    about = new_about(
        fingerprint=fingerprint,
        embedding_dim=embedding_dim,
        kind=chosen,
        model=model,
        image_root=image_root,
        map_plan=map_plan,
        calibration=calibration,
    )
    connections = Connections(address)
    try:
        with explained(address):
            path = _prepared(connections, address)
            with connections.transaction(writing=True, search_path=path) as connection:
                _check_room(connection, address, overwrite)
                home = create_records(connection, {**about, "spec": kind})
                sample: Reservoir[Record] = Reservoir(
                    map_plan.points if map_plan else 0
                )
                stored, fields = _fill(connection, home, blocks, sample)
                with _each_once():
                    finish_records(connection, home)
                _check_room(connection, address, overwrite)
                put_home(connection, address, home)
                add_fields(connection, home, fields)
                if map_plan:
                    put_map(connection, home, draw_map(map_plan, sample.kept))
    finally:
        connections.close()
    return stored, chosen


def _prepared(connections: Connections, address: Address) -> str:
    with connections.taken() as connection:
        prepare(connection, address)
        return vector_path(connection) or ""


def _check_room(connection: Connection, address: Address, overwrite: bool) -> None:
    query = "SELECT FROM dce_tf.collections WHERE name = %s"
    if not overwrite and connection.execute(query, [address.name]).fetchall():
        raise UsageError(
            f"{address} is there already. Pass --overwrite to replace it, or another "
            "--name."
        )


def _fill(
    connection: Connection,
    home: Home,
    blocks: Iterable[Sequence[Record]],
    sample: Reservoir[Record],
) -> tuple[int, set[str]]:
    """Stores records; returns how many, and the names of their metadata."""
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        home.table, sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
    )
    fields: set[str] = set()
    stored = 0
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for records in blocks:
            for row in as_rows(records, home.about["embedding_dim"]):
                copy.write_row(row)
            sample.add(records)
            fields |= {name for record in records for name in record.metadata}
            stored += len(records)
    return stored, fields


@contextlib.contextmanager
def _each_once() -> Iterator[None]:
    try:
        yield
    except errors.UniqueViolation as error:
        detail = error.diag.message_detail or ""
        found = re.search(r"\(id\)=\((.*)\)", detail, re.DOTALL)
        what = repr(decode_id(found[1])) if found else detail
        raise ValueError(f"id: received {what} twice; expected each once.") from error
