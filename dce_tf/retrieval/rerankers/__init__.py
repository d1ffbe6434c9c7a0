"""Re-ranking: one file for each way of ordering the gallery again after the search."""

from collections.abc import Callable

from dce_tf.base.registry import Registry, import_siblings
from dce_tf.retrieval.ranking import Scorer
from dce_tf.retrieval.vectors import Numbers

Reranker = Callable[[Numbers, Numbers, bool], Scorer]
"""From queries, gallery and whether they are the same images to what scores them.

Both are as `vectors.comparable` returns them: their Euclidean distances rank them.
"""

RERANKERS: Registry[Reranker] = Registry("re-ranking")

import_siblings(__name__, __path__)

__all__ = ["RERANKERS", "Reranker"]
