"""Re-ranking by k-reciprocal neighbours."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse

from dce_tf.errors import UsageError
from dce_tf.retrieval.neighbours import find_neighbours
from dce_tf.retrieval.ranking import Embeddings, EuclideanScorer, Rows
from dce_tf.retrieval.rerankers import RERANKERS

Sparse = Any  # SciPy's sparse arrays have no types.

_PAIRS_AT_ONCE = 2**18


@RERANKERS.register("k_reciprocal")
@dataclasses.dataclass(frozen=True)
class KReciprocal:
    """Mixes the distance of two images with how alike their neighbourhoods are.

    d* = (1 − weight) · Jaccard distance of their k-reciprocal neighbours + weight ·
    Euclidean distance (Zhong et al., CVPR 2017, equations 2 to 12). It sees all
    queries at once: a score with it is one of searching in batches, not one by one.
    What it stores grows with images × k1, never with images × images.

    Args:
        k1: Neighbours that must be mutual.
        k2: Neighbours over which neighbourhoods are averaged; 1 leaves them.
        weight: Share of the Euclidean distance, 0 to 1: λ.

    Raises:
        UsageError: If an option is out of range.
    """

    k1: int = 20
    k2: int = 6
    weight: float = 0.3

    def __post_init__(self) -> None:
        if not (1 <= self.k2 <= self.k1 and 0 <= self.weight <= 1):
            raise UsageError(
                "k_reciprocal needs 1 <= k2 <= k1 and weight in 0 to 1; received "
                f"k1={self.k1}, k2={self.k2}, weight={self.weight}."
            )

    def __call__(
        self, query: Embeddings, gallery: Embeddings, same: bool
    ) -> KReciprocalScorer:
        """Finds the neighbourhoods of all images; see `Reranker`."""
        images = gallery if same else np.concatenate([query, gallery])
        neighbours = _nearest(images, self.k1)
        weights = _neighbourhoods(images, neighbours, self.k1)
        near = neighbours[:, : self.k2]
        rows = np.repeat(np.arange(len(near)), near.shape[1])
        mean = _table(rows, near.ravel(), weights.shape) / near.shape[1]
        weights = (mean @ weights).tocsr()
        own = weights if same else weights[: len(query)]
        theirs = weights if same else weights[len(query) :]
        return KReciprocalScorer(
            EuclideanScorer(query, gallery), query, own, theirs.tocsc(), self.weight
        )


class KReciprocalScorer:
    """Scores by the mixed distance; see `KReciprocal`.

    Args:
        euclidean: Scores by the distance alone.
        query: float32 `(num_queries, dim)`.
        own: Neighbourhoods of the queries, sparse `(num_queries, num_images)`; a row
            sums to 1.
        theirs: Of the gallery, by column, sparse `(num_gallery, num_images)`.
        weight: Share of the Euclidean distance.
    """

    def __init__(
        self,
        euclidean: EuclideanScorer,
        query: Embeddings,
        own: Sparse,
        theirs: Sparse,
        weight: float,
    ) -> None:
        self.num_gallery = euclidean.num_gallery
        self.tolerance = 1e-6
        self._euclidean = euclidean
        self._squares = np.einsum("ij,ij->i", query, query)
        self._own = own
        self._theirs = theirs
        self._weight = weight

    def __call__(self, rows: Rows) -> Embeddings:
        """Returns −d* of all gallery images, float32 `(block, num_gallery)`."""
        squared = self._squares[rows, None] - self._euclidean(rows)
        scores: Embeddings = -self._weight * np.sqrt(np.maximum(squared, 0))
        for i, row in enumerate(rows):
            shared = self._shared(row)
            # Rows sum to 1, so Σ max = 2 − Σ min.
            scores[i] -= (1 - self._weight) * (1 - shared / (2 - shared))
        return scores

    def _shared(self, row: int) -> npt.NDArray[np.float64]:
        """Returns Σ min of a query's neighbourhood and that of each gallery image."""
        start, stop = self._own.indptr[row : row + 2]
        columns, mine = self._own.indices[start:stop], self._own.data[start:stop]
        first, last = self._theirs.indptr[columns], self._theirs.indptr[columns + 1]
        count = last - first
        place = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        place += np.repeat(first, count)
        smaller = np.minimum(self._theirs.data[place], np.repeat(mine, count))
        images = self._theirs.indices[place]
        return np.asarray(np.bincount(images, smaller, self.num_gallery), np.float64)


def _nearest(images: Embeddings, k: int) -> Rows:
    """Returns each image, itself first, and its k nearest others."""
    others, _ = find_neighbours(images, images, k, exclude_self=True)
    return np.concatenate([np.arange(len(images))[:, None], others], axis=1)


def _neighbourhoods(images: Embeddings, neighbours: Rows, k1: int) -> Sparse:
    """Returns exp(−distance) over the expanded reciprocal neighbours; rows sum to 1."""
    mutual = _mutual(neighbours)
    half = _mutual(neighbours[:, : round(k1 / 2) + 1])
    # q's own set joins p's if two thirds of it are in there already.
    shared = (mutual @ half.T).multiply(mutual).tocoo()
    enough = shared.data >= 2 / 3 * half.sum(axis=1)[shared.col]
    joining = _table(shared.row[enough], shared.col[enough], shared.shape)
    sets = (mutual + joining @ half).tocoo()
    nearness = np.exp(-_distances(images, sets.row, sets.col))
    table = _table(sets.row, sets.col, sets.shape, nearness)
    return (scipy.sparse.diags_array(1 / table.sum(axis=1)) @ table).tocsr()


def _mutual(neighbours: Rows) -> Sparse:
    """Marks the pairs that are in each other's neighbours."""
    count, k = neighbours.shape
    near = _table(np.repeat(np.arange(count), k), neighbours.ravel(), (count, count))
    return near.multiply(near.T).tocsr()


def _table(
    rows: Rows,
    columns: Rows,
    shape: tuple[int, int],
    values: npt.NDArray[Any] | None = None,
) -> Sparse:
    values = np.ones(len(rows)) if values is None else values
    return scipy.sparse.csr_array((values, (rows, columns)), shape=shape)


def _distances(images: Embeddings, left: Rows, right: Rows) -> Embeddings:
    distances = np.empty(len(left), np.float32)
    for start in range(0, len(left), _PAIRS_AT_ONCE):
        part = slice(start, start + _PAIRS_AT_ONCE)
        gap = images[left[part]] - images[right[part]]
        distances[part] = np.linalg.norm(gap, axis=1)
    return distances
