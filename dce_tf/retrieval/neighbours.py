"""Exact nearest neighbours, a block of queries at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from dce_tf.faiss_backend import exact_index

Embeddings = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

BLOCK = 4096

# Queries × neighbours of a block: about 200 MB with what the metrics make of them.
BLOCK_NEIGHBOURS = 4096 * 1024


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
        block_size: The most queries a block; fewer where k is large.

    Yields:
        Rows of the queries `(block,)`, in the order of their k; rows of their
        neighbours, nearest first, `(block, k)`; squared Euclidean distances.

    Raises:
        ValueError: If an embedding is not finite.
    """
    query, gallery = _checked(query, "query"), _checked(gallery, "gallery")
    wanted = np.broadcast_to(np.asarray(k, np.int64), len(query))
    order = np.argsort(wanted, kind="stable")
    counts = np.minimum(wanted[order] + exclude_self, len(gallery))
    index = exact_index(gallery.shape[1], backend, int(counts.max(initial=1)))
    index.add(gallery)
    start = 0
    while start < len(query):
        stop = start + _fitting(counts[start : start + block_size])
        rows, count = order[start:stop], int(counts[stop - 1])
        distances, found = index.search(query[rows], count)
        if exclude_self:
            other = found != rows[:, None]
            other[other.all(axis=1), -1] = False
            found = found[other].reshape(len(rows), count - 1)
            distances = distances[other].reshape(len(rows), count - 1)
        yield rows, found, distances
        start = stop


def _fitting(counts: Rows) -> int:
    """Returns how many of the next queries, sorted by their counts, are one block."""
    needed = np.arange(1, len(counts) + 1) * counts
    return max(1, int(np.searchsorted(needed, BLOCK_NEIGHBOURS, side="right")))


def _checked(embeddings: Embeddings, name: str) -> Embeddings:
    # FAISS finds −1 for what is not finite, which would be the last image.
    embeddings = np.ascontiguousarray(embeddings, np.float32)
    bad = np.count_nonzero(~np.isfinite(embeddings).all(axis=1))
    if bad:
        raise ValueError(
            f"{bad} of {len(embeddings)} {name} embeddings are not finite, so they "
            "have no neighbours: the training has diverged. Lower the learning rates."
        )
    return embeddings
