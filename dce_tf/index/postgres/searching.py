"""Searches a table: by its graph where there is one, and by every record."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from psycopg import sql

from dce_tf.index.collection import Hit, Vectors
from dce_tf.index.filters import Condition
from dce_tf.index.postgres.client import Connection
from dce_tf.index.postgres.conditions import MOST_EF, as_sql, hnsw_of
from dce_tf.index.postgres.records import as_hit, as_vector
from dce_tf.index.postgres.tables import Home

_AT_ONCE = 100  # Queries of one message.
_SEARCH = (
    "SELECT id, label, metadata, vector <#> %s::vector AS distance FROM {} WHERE {} "
    "ORDER BY {} LIMIT %s"
)
_BY_GRAPH = "vector <#> %s::vector"
# No index is in the order of a sum.
_BY_ALL = "(vector <#> %s::vector) + 0"


def search(
    connection: Connection,
    home: Home,
    queries: Vectors,
    k: int,
    conditions: Sequence[Condition],
) -> list[list[Hit]]:
    """Finds the records nearest to each query.

    pgvector's graph gives at most `ef` records, of which a filter, or a change since
    that left dead ones in it, may take some away: a query that is left with fewer than
    `k` is compared with every record that meets the conditions.

    Args:
        connection: In a transaction.
        home: Where the records are.
        queries: Of unit length, float32 `(num_queries, embedding_dim)`.
        k: How many are to be found.
        conditions: Of `parse_filter`.

    Returns:
        For each query its hits, the nearest first.
    """
    texts = [as_vector(query) for query in queries]
    graph = hnsw_of(home.about["kind"])
    found: dict[int, list[Hit]] = {}
    if graph is not None and k <= MOST_EF:
        ef = str(max(graph.ef, k))
        connection.execute("SELECT set_config('hnsw.ef_search', %s, true)", [ef])
        found = _ordered_by(
            _BY_GRAPH, connection, home, texts, range(len(texts)), k, conditions
        )
    short = [n for n in range(len(texts)) if len(found.get(n, ())) < k]
    found |= _ordered_by(_BY_ALL, connection, home, texts, short, k, conditions)
    return [found[n] for n in range(len(texts))]


def _ordered_by(
    order: str,
    connection: Connection,
    home: Home,
    texts: Sequence[str],
    chosen: Iterable[int],
    k: int,
    conditions: Sequence[Condition],
) -> dict[int, list[Hit]]:
    term, parameters = as_sql(conditions)
    statement = sql.SQL(_SEARCH).format(home.table, sql.SQL(term), sql.SQL(order))
    numbers, found = list(chosen), {}
    for start in range(0, len(numbers), _AT_ONCE):
        block = numbers[start : start + _AT_ONCE]
        with connection.pipeline():
            cursors = [
                connection.execute(statement, [texts[n], *parameters, texts[n], k])
                for n in block
            ]
            for n, cursor in zip(block, cursors, strict=True):
                found[n] = [as_hit(each) for each in cursor]
    return found
