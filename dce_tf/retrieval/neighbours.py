"""Exact nearest neighbours."""

from __future__ import annotations

import numpy as np

from dce_tf.faiss_backend import exact_index
from dce_tf.retrieval.ranking import Embeddings, Rows, finite


def find_neighbours(
    query: Embeddings,
    gallery: Embeddings,
    k: int,
    *,
    exclude_self: bool,
    backend: str = "auto",
) -> tuple[Rows, Embeddings]:
    """Finds the nearest gallery embeddings of each query.

    Args:
        query: float32 `(num_queries, dim)`.
        gallery: float32 `(num_gallery, dim)`.
        k: How many neighbours; as many as there are, if those are fewer.
        exclude_self: Whether query i is gallery image i and must not find itself. If
            duplicates push it out of its own neighbours, the farthest is left out.
        backend: Where FAISS searches: `"auto"`, `"faiss"` or `"faiss-gpu"`.

    Returns:
        Rows of the neighbours, nearest first, int64 `(num_queries, k)`; squared
        Euclidean distances, float32, same shape.

    Raises:
        ValueError: If an embedding is not finite.
    """
    query, gallery = finite(query, "query"), finite(gallery, "gallery")
    count = min(k + exclude_self, len(gallery))
    index = exact_index(gallery.shape[1], backend, count)
    index.add(gallery)
    distances, found = index.search(query, count)
    if exclude_self:
        other = found != np.arange(len(query))[:, None]
        other[other.all(axis=1), -1] = False
        found = found[other].reshape(len(query), count - 1)
        distances = distances[other].reshape(len(query), count - 1)
    return found, distances
