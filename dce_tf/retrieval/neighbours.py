"""Exact nearest neighbours."""

from __future__ import annotations

import numpy as np

from dce_tf.clustering.faiss_backend import exact_index
from dce_tf.retrieval.ranking import Rows
from dce_tf.retrieval.vectors import Embeddings, Numbers, centred, check_vectors


def find_neighbours(
    query: Numbers,
    gallery: Numbers,
    k: int,
    *,
    exclude_self: bool,
    backend: str = "auto",
) -> tuple[Rows, Embeddings]:
    """Finds the nearest gallery embeddings of each query, by Euclidean distance.

    Args:
        query: Real numbers `(num_queries, dim)`.
        gallery: Real numbers `(num_gallery, dim)`.
        k: How many neighbours; as many as there are, if those are fewer.
        exclude_self: Whether query i is gallery image i and must not find itself. If
            duplicates push it out of its own neighbours, the farthest is left out.
        backend: Where FAISS searches: `"auto"`, `"faiss"` or `"faiss-gpu"`.

    Returns:
        Rows of the neighbours, nearest first, int64 `(num_queries, k)`; squared
        Euclidean distances, float32, same shape.

    Raises:
        ValueError: As `check_vectors`, or if their widths differ.
    """
    query = check_vectors(query, "query")
    gallery = query if gallery is query else check_vectors(gallery, "gallery")
    query, gallery = centred(query, gallery)
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
