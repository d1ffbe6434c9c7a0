"""Where a collection in PostgreSQL is, and how that is said without a password."""

from __future__ import annotations

import dataclasses
import re

from dce_tf.base.errors import UsageError
from dce_tf.index.checks import check_name

PREFIX = "postgres:"

_URI = re.compile(r"(?:postgres(?:ql)?:)?//(.*)", re.DOTALL)
_HOST = re.compile(r"(?:\[[^\]]*\]|[^:\[\]]*)(?::\d*)?")
_PAIR = re.compile(r"(\w+)\s*=\s*('(?:[^'\\]|\\.)*'|(?:[^\s'\\]|\\.)*)(?:\s+|$)")
_EXPECTED = (
    "expected postgres:DSN#NAME, the DSN being as PostgreSQL's own programs take it, "
    "such as postgresql://USER@HOST/DATABASE or 'host=HOST dbname=DATABASE'"
)


@dataclasses.dataclass(frozen=True)
class Address:
    """Where a collection is: `postgres:DSN#NAME`.

    Attributes:
        dsn: How the database is reached, in libpq's words: a URI, or pairs
            `host=… dbname=…`; what is missing is taken from `PGHOST` and the like.
        name: The collection.
    """

    dsn: str = dataclasses.field(repr=False)
    name: str

    def __post_init__(self) -> None:
        check_name(self.name)
        _without_password(self.dsn)

    @classmethod
    def parse(cls, where: str) -> Address:
        """Reads an address; `postgres://HOST/DATABASE#NAME` is one also.

        Raises:
            UsageError: If it is none. What it holds is not shown: it may be a password.
        """
        dsn, separator, name = where.removeprefix(PREFIX).rpartition("#")
        if not separator:
            raise UsageError(f"{PREFIX}…: {_EXPECTED}.")
        if dsn.startswith("//"):
            dsn = f"postgresql:{dsn}"
        try:
            return cls(dsn, name)
        except UsageError:
            raise
        except ValueError as error:
            raise UsageError(f"{PREFIX}…#{name}: {error}") from error

    def __str__(self) -> str:
        return f"{PREFIX}{_without_password(self.dsn)}#{self.name}"


def _without_password(dsn: str) -> str:
    """Returns a DSN that may be shown.

    Raises:
        UsageError: If it cannot be said for certain what in it is the password.
    """
    found = _URI.fullmatch(dsn)
    return _uri(found[1]) if found else _pairs(dsn)


def _uri(rest: str) -> str:
    user, at, place = rest.rpartition("@")
    if re.search("[/?#@]", user):
        raise UsageError(
            f"{PREFIX}…: found one of / ? # @ before the last @; write them in a "
            "password as %2F %3F %23 %40, or leave it to PGPASSWORD or ~/.pgpass."
        )
    hosts = re.split("[/?]", place, maxsplit=1)[0]
    if not all(_HOST.fullmatch(host) for host in hosts.split(",")):
        raise UsageError(
            f"{PREFIX}…: found a host whose port is no number; {_EXPECTED}."
        )
    place, _, query = place.partition("?")
    kept = [each for each in query.split("&") if each and not _is_secret(each)]
    name = user.partition(":")[0]
    return f"postgresql://{name}{at}{place}{'?' if kept else ''}{'&'.join(kept)}"


def _pairs(dsn: str) -> str:
    end, kept = 0, []
    text = dsn.strip()
    for found in _PAIR.finditer(text):
        if found.start() != end:
            break
        end = found.end()
        if not _is_secret(found[1]):
            kept.append(f"{found[1]}={found[2]}")
    if end != len(text):
        raise UsageError(f"{PREFIX}…: {_EXPECTED}.")
    return " ".join(kept)


def _is_secret(text: str) -> bool:
    # Escaped letters are still letters of the name.
    return "password" in text.partition("=")[0].lower() or "%" in text.partition("=")[0]
