"""Re-ranking: one file a way of ordering the gallery anew after the search."""

from collections.abc import Callable

from dce_tf.registry import Registry, import_siblings
from dce_tf.retrieval.ranking import Embeddings, Scorer

Reranker = Callable[[Embeddings, Embeddings, bool], Scorer]
"""From queries, gallery and whether they are the same images to what scores them."""

RERANKERS: Registry[Reranker] = Registry("re-ranking")

import_siblings(__name__, __path__)

__all__ = ["RERANKERS", "Reranker"]
