"""Re-ranking: one file for each way of ordering the gallery again after the search."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from dce_tf.base.registry import Registry, import_siblings
from dce_tf.retrieval.ranking import Keys, Rows, Scorer
from dce_tf.retrieval.vectors import Numbers


def _all() -> slice:
    return slice(None)


@dataclasses.dataclass(frozen=True, eq=False)
class Asked:
    """What is searched for, and in what.

    Attributes:
        query: Embeddings of the queries, as `vectors.comparable` returns them: their
            Euclidean distances rank them.
        gallery: Those of the gallery.
        same: Whether they are the same images.
        query_rows: Which queries of the whole search these are.
        gallery_rows: Which of its gallery.
        keys: Of queries and gallery: where two are the same, the one is hidden from the
            other.
    """

    query: Numbers
    gallery: Numbers
    same: bool = False
    query_rows: Rows | slice = dataclasses.field(default_factory=_all)
    gallery_rows: Rows | slice = dataclasses.field(default_factory=_all)
    keys: tuple[Keys, Keys] | None = None


Reranker = Callable[[Asked], Scorer]
"""From a search to what scores it."""

RERANKERS: Registry[Reranker] = Registry("re-ranking")

import_siblings(__name__, __path__)

__all__ = ["RERANKERS", "Asked", "Reranker"]
