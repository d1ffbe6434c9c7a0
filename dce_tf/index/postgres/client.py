"""Connections to PostgreSQL, and what its errors mean."""

from __future__ import annotations

import contextlib
import errno
import select
import threading
from collections.abc import Iterator
from typing import Any

from dce_tf.base.errors import UsageError, first_line
from dce_tf.index.postgres.address import Address

try:
    import psycopg
    from psycopg import conninfo, errors
except ImportError as error:
    raise UsageError(
        "An address of PostgreSQL needs its client: `pip install 'psycopg[binary]'`."
    ) from error

Connection = psycopg.Connection[tuple[Any, ...]]

MOST_CONNECTIONS = 16

# What the address itself says counts more. A server that vanished without a word is
# noticed in half a minute.
_DEFAULTS: dict[str, str | int] = {
    "application_name": "dce_tf",
    "connect_timeout": 10,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}


@contextlib.contextmanager
def explained(address: Address) -> Iterator[None]:
    """Says of an error of PostgreSQL where it came from."""
    try:
        yield
    except errors.DiskFull as error:
        raise OSError(
            errno.ENOSPC, f"{address}: {first_line(error)}. What was stored is kept"
        ) from error
    except psycopg.Error as error:
        raise OSError(f"{address}: PostgreSQL says: {first_line(error)}.") from error


def connect(address: Address) -> Connection:
    """Returns a connection on which each statement is a transaction.

    Raises:
        OSError: If the server cannot be reached, or refuses who asks.
        UsageError: If the address is none that PostgreSQL knows.
    """
    try:
        known = conninfo.conninfo_to_dict(address.dsn)
    except psycopg.ProgrammingError:
        # What it says may quote a piece of a password.
        raise UsageError(
            f"{address}: PostgreSQL's client cannot read what is before "
            f"#{address.name}; expected postgresql://USER@HOST/DATABASE or 'host=HOST "
            "dbname=DATABASE'."
        ) from None
    try:
        return psycopg.connect(
            conninfo.make_conninfo("", **{**_DEFAULTS, **known}),
            client_encoding="utf8",
            autocommit=True,
            # A pooler between us and the server may know no prepared statements.
            prepare_threshold=None,
        )
    except psycopg.Error as error:
        raise OSError(
            f"{address} cannot be reached: {_said(error, known.get('password'))}. Is "
            "the server running, and are user, password (PGPASSWORD or ~/.pgpass) and "
            "database right?"
        ) from None


def _said(error: psycopg.Error, password: Any) -> str:
    """Returns what an error says, for certain without the password."""
    text = first_line(error)
    return text.replace(str(password), "…") if password else text


class Connections:
    """Connections to one database, taken and given back by threads.

    Args:
        address: What is told of an error.

    Raises:
        OSError: If the server cannot be reached.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._room = threading.Semaphore(MOST_CONNECTIONS)
        self._idle: list[Connection] = []
        self._closed = False
        with self.taken():
            pass

    @contextlib.contextmanager
    def taken(self) -> Iterator[Connection]:
        """Lends a connection; one that broke is not lent again."""
        with self._room:
            connection = self._usable()
            try:
                yield connection
            finally:
                idle = psycopg.pq.TransactionStatus.IDLE
                if self._closed or connection.info.transaction_status != idle:
                    connection.close()
                else:
                    self._idle.append(connection)

    def _usable(self) -> Connection:
        if self._closed:
            raise ValueError(f"The collection {self._address.name} is closed.")
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return connect(self._address)
            # A server that ended has said so: nothing else is said to the idle.
            if not select.select([connection], [], [], 0)[0]:
                return connection
            connection.close()

    @contextlib.contextmanager
    def transaction(
        self, *, writing: bool = False, **settings: str
    ) -> Iterator[Connection]:
        """Lends a connection within a transaction; all or nothing is kept.

        Args:
            writing: What is changed is on the disk when this ends, however little
                the server cares by default.
            **settings: Settings of PostgreSQL for this time, `.` being said `__`.
        """
        with self.taken() as connection, connection.transaction():
            names = [name.replace("__", ".") for name in settings]
            connection.execute(
                "SELECT set_config(name, value, true) "
                "FROM unnest(%s::text[], %s::text[]) AS settings (name, value)",
                [names, list(settings.values())],
            )
            if writing:
                connection.execute(
                    "SELECT set_config('synchronous_commit', 'on', true) "
                    "WHERE current_setting('synchronous_commit') = 'off'"
                )
            yield connection

    def close(self) -> None:
        """Gives the connections back; those lent end when they come back."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()
