"""How addresses, ids, filters and kinds are said to Milvus."""

from __future__ import annotations

import dataclasses
import json
import re
import urllib.parse
from collections.abc import Sequence
from typing import Any

from dce_tf.base.errors import UsageError
from dce_tf.index.collection import Id
from dce_tf.index.filters import COMPARISONS, LABEL, Condition, Scalar
from dce_tf.index.kinds import KINDS, check_kind

PREFIX = "milvus:"

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_SAFE = "/-_.~ "  # In ids, beside letters and digits.
_NOTHING = 'id == ""'  # No id is coded so.
_TYPES = {"exact": "FLAT", "hnsw": "HNSW", "ivf_sq": "IVF_SQ8", "ivf_pq": "IVF_PQ"}
_NEAREST = {"int8": "ivf_sq", "binary": "ivf_pq"}


@dataclasses.dataclass(frozen=True)
class Address:
    """Where a collection is: `milvus:URI#NAME`.

    Attributes:
        uri: A server's address, or a file of Milvus Lite that ends in `.db`.
        name: The collection.
    """

    uri: str
    name: str

    @classmethod
    def parse(cls, where: str) -> Address:
        """Reads an address.

        Raises:
            UsageError: If it is none.
        """
        uri, _, name = where.removeprefix(PREFIX).rpartition("#")
        if not uri or ("://" not in uri and not uri.endswith(".db")):
            raise UsageError(
                f"{where}: expected milvus:URI#NAME, the URI being a server's, such as "
                "http://localhost:19530, or a file of Milvus Lite that ends in .db."
            )
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"{where}: Milvus cannot call a collection {name!r}: expected letters, "
                "digits and underscores. Pass --name."
            )
        return cls(uri, name)

    def __str__(self) -> str:
        return f"{PREFIX}{self.uri}#{self.name}"


def encode_id(record_id: Id) -> str:
    """Returns an id as letters that need no quotes; text and numbers differ."""
    if isinstance(record_id, int):
        return f"i{record_id}"
    return f"s{urllib.parse.quote(record_id, safe=_SAFE)}"


def decode_id(text: str) -> Id:
    """Returns what `encode_id` was given."""
    if text.startswith("i"):
        return int(text[1:])
    return urllib.parse.unquote(text[1:], errors="strict")


def as_expression(conditions: Sequence[Condition]) -> str:
    """Returns conditions as an expression of Milvus on `label` and `metadata`."""
    return " and ".join(f"({_term(condition)})" for condition in conditions)


def _term(condition: Condition) -> str:
    if condition.field == LABEL:
        field, absent = LABEL, f"{LABEL} is null"
    else:
        field = f"metadata[{_literal(condition.field)}]"
        absent = f"not exists {field}"
    values = [_literal(value) for value in condition.values]
    if condition.operator == "$in":
        # On JSON, Milvus Lite has no `in`.
        return " or ".join(f"{field} == {value}" for value in values) or _NOTHING
    (value,) = values
    if condition.operator == "$ne":
        return f"{absent} or {field} != {value}"
    comparison = COMPARISONS[condition.operator]
    return f"{field} {'==' if comparison == '=' else comparison} {value}"


def _literal(value: Scalar) -> str:
    if not isinstance(value, str):
        return json.dumps(value)
    text = value.replace("\\", "\\\\").replace('"', '\\"')
    for letter, escaped in (("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
        text = text.replace(letter, escaped)
    return f'"{text}"'


def index_of(kind: str, dim: int, count: int) -> tuple[str, dict[str, Any]]:
    """Returns Milvus's name and parameters of a kind of index.

    Args:
        kind: `auto`, or an entry of `kinds.KINDS` with options.
        dim: Width of the embeddings.
        count: About how many there will be.

    Raises:
        UsageError: If Milvus has no such kind.
    """
    if kind == "auto":
        return "AUTOINDEX", {}
    check_kind(kind)
    name, options = KINDS.check(kind)
    if name not in _TYPES:
        raise UsageError(
            f"--kind={kind}: in Milvus there are {', '.join(_TYPES)} and auto. The "
            f"nearest that works is {_NEAREST.get(name, 'auto')}; an index in a "
            "directory has all kinds."
        )
    built = {**KINDS.options(name), **options}
    if name == "exact":
        return _TYPES[name], {}
    if name == "hnsw":
        return _TYPES[name], {
            "M": built["links"],
            "efConstruction": built["ef_build"],
        }
    parameters = {"nlist": built["lists"] or min(65_536, max(1, round(4 * count**0.5)))}
    if name == "ivf_pq":
        fitting = [size for size in range(1, dim + 1) if dim % size == 0]
        quarter = max(size for size in fitting if size <= max(1, dim // 4))
        parameters |= {"m": built["code"] or quarter, "nbits": 8}
    return _TYPES[name], parameters


def search_parameters(kind: str, lists: int, k: int) -> dict[str, int]:
    """Returns how far Milvus is to look.

    Args:
        kind: As of `index_of`.
        lists: The `nlist` that it was given, if any.
        k: How many are to be found.
    """
    if kind == "auto":
        return {}
    name, options = KINDS.check(kind)
    built = {**KINDS.options(name), **options}
    if name == "hnsw":
        return {"ef": max(built["ef"], k)}
    if name == "exact":
        return {}
    return {"nprobe": min(lists, built["probes"] or max(16, lists // 32))}
