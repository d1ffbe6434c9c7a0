"""Exact nearest neighbours, a block of queries at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from dce_tf.faiss_backend import exact_index

Embeddings = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

BLOCK = 4096


def search_blocks(
    query: Embeddings,
    gallery: Embeddings,
    k: int | Rows,
    *,
    exclude_self: bool,
    backend: str = "auto",
    block_size: int = BLOCK,
) -> Iterator[tuple[Rows, Rows, Embeddings]]:
    """Finds the nearest gallery embeddings of each query.

    Memory grows with a block of queries, never with queries × gallery.

    Args:
        query: float32 `(num_queries, dim)`.
        gallery: float32 `(num_gallery, dim)`.
        k: How many neighbours; an int64 array `(num_queries,)` gives each query its
            own number, and a block has the largest of its queries.
        exclude_self: Whether query i is gallery image i and must not find itself. If
            duplicates push it out of its own neighbours, the farthest is left out.
        backend: Where FAISS searches: `"auto"`, `"faiss"` or `"faiss-gpu"`.
        block_size: Queries a block.

    Yields:
        Rows of the queries `(block,)`, in the order of their k; rows of their
        neighbours, nearest first, `(block, k)`; squared Euclidean distances.
    """
    index = exact_index(gallery.shape[1], backend)
    index.add(np.ascontiguousarray(gallery, np.float32))
    wanted = np.broadcast_to(np.asarray(k, np.int64), len(query))
    order = np.argsort(wanted, kind="stable")
    for start in range(0, len(query), block_size):
        rows = order[start : start + block_size]
        count = min(int(wanted[rows[-1]]) + exclude_self, len(gallery))
        distances, found = index.search(np.ascontiguousarray(query[rows]), count)
        if exclude_self:
            other = found != rows[:, None]
            other[other.all(axis=1), -1] = False
            found = found[other].reshape(len(rows), count - 1)
            distances = distances[other].reshape(len(rows), count - 1)
        yield rows, found, distances
