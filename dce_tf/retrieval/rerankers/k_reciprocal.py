"""Re-ranking by k-reciprocal neighbours."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse

from dce_tf.base.errors import UsageError
from dce_tf.retrieval.euclidean import EuclideanScorer
from dce_tf.retrieval.neighbours import find_neighbours
from dce_tf.retrieval.ranking import Rows
from dce_tf.retrieval.rerankers import RERANKERS, Asked
from dce_tf.retrieval.vectors import Embeddings, centred

Sparse = Any  # SciPy's sparse arrays have no types.

FORMS = ("paper", "program")

_PAIRS_AT_ONCE = 2**18
_BLOCK_DISTANCES = 2**24

_TOLERANCE = 1e-6  # Mixed distances that differ by less are equal but for rounding.


@RERANKERS.register("k_reciprocal")
@dataclasses.dataclass(frozen=True)
class KReciprocal:
    """Mixes the distance of two images with how alike their neighbourhoods are.

    d* = (1 − weight) · Jaccard distance of their k-reciprocal neighbours + weight ·
    distance (Zhong et al., CVPR 2017, equations 2 to 12). It sees all
    queries at once: a score with it is one of searching in batches, not one by one.
    What it stores grows with images × k1, never with images × images.

    The program that its authors published computes something else than the paper says,
    and published numbers are mostly the program's. Take `form=program` to compare with
    them:

    - paper: the Euclidean distance as it is; the neighbours of a neighbour join if at
      least two thirds of them are in the set already.
    - program: the squared Euclidean distance, divided by that of the image farthest
      away from the image whose neighbourhood or rank it is, queries and gallery taken
      together; they join if more than two thirds are. (The program also keeps
      neighbourhoods in float16, which is not done here.)

    Args:
        k1: Neighbours that must be mutual.
        k2: Neighbours over which neighbourhoods are averaged; 1 leaves them.
        weight: Share of the distance, 0 to 1: λ.
        form: `"paper"` or `"program"`.

    Raises:
        UsageError: If an option is out of range.
    """

    k1: int = 20
    k2: int = 6
    weight: float = 0.3
    form: str = "paper"

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise UsageError(
                f"k_reciprocal needs a form out of {', '.join(FORMS)}; received "
                f"form={self.form}."
            )
        if not (1 <= self.k2 <= self.k1 and 0 <= self.weight <= 1):
            raise UsageError(
                "k_reciprocal needs 1 <= k2 <= k1 and weight in 0 to 1; received "
                f"k1={self.k1}, k2={self.k2}, weight={self.weight}."
            )

    def __call__(self, asked: Asked) -> KReciprocalScorer:
        """Finds the neighbourhoods of all images; see `Reranker`."""
        query, gallery, same = asked.query, asked.gallery, asked.same
        images = gallery if same else np.concatenate([query, gallery])
        images, _ = centred(images, images)
        squares = _largest_squares(images) if self.form == "program" else None
        neighbours = _nearest(images, self.k1)
        weights = _neighbourhoods(images, neighbours, self.k1, squares)
        near = neighbours[:, : self.k2]
        rows = np.repeat(np.arange(len(near)), near.shape[1])
        mean = _table(rows, near.ravel(), weights.shape) / near.shape[1]
        weights = (mean @ weights).tocsr()
        own = weights if same else weights[: len(query)]
        theirs = weights if same else weights[len(query) :]
        own_images = images if same else images[: len(query)]
        return KReciprocalScorer(
            EuclideanScorer(own_images, images[-len(gallery) :]),
            own,
            theirs.tocsc(),
            self.weight,
            None if squares is None else squares[: len(query)],
        )


class KReciprocalScorer:
    """Scores by the mixed distance; see `KReciprocal`.

    Args:
        euclidean: Scores by the distance alone.
        own: Neighbourhoods of the queries, sparse `(num_queries, num_images)`; a row
            sums to 1.
        theirs: Of the gallery, by column, sparse `(num_gallery, num_images)`.
        weight: Share of the distance.
        squares: What squared distances of each query are divided by, `(num_queries,)`;
            None to take the distances themselves.
    """

    def __init__(
        self,
        euclidean: EuclideanScorer,
        own: Sparse,
        theirs: Sparse,
        weight: float,
        squares: Embeddings | None = None,
    ) -> None:
        self.num_gallery = euclidean.num_gallery
        self._euclidean = euclidean
        self._own = own
        self._theirs = theirs
        self._weight = weight
        self._squares = squares

    def __call__(self, rows: Rows) -> Embeddings:
        """Returns −d* of all gallery images, float32 `(block, num_gallery)`."""
        distances = self._euclidean.squared_distances(rows)
        if self._squares is None:
            np.sqrt(distances, out=distances)
        else:
            distances /= self._squares[rows, None]
        scores: Embeddings = -self._weight * distances
        for i, row in enumerate(rows):
            shared = self._shared(row)
            # Rows sum to 1, so Σ max = 2 − Σ min.
            scores[i] -= (1 - self._weight) * (1 - shared / (2 - shared))
        return scores

    def slack(self, rows: Rows, images: Rows) -> Embeddings:
        """Returns the same for all; see `Scorer`."""
        del images
        return np.full(len(rows), _TOLERANCE, np.float32)

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


def _largest_squares(images: Embeddings) -> Embeddings:
    """Returns the squared distance to the farthest image of each, `(num_images,)`."""
    scorer = EuclideanScorer(images, images)
    size = max(1, _BLOCK_DISTANCES // len(images))
    starts = range(0, len(images), size)
    blocks = (np.arange(start, min(start + size, len(images))) for start in starts)
    parts = [scorer.squared_distances(rows).max(axis=1) for rows in blocks]
    largest: Embeddings = np.concatenate(parts)
    # Where all images are one, so are all their distances: 0.
    return np.where(largest > 0, largest, np.float32(1))


def _neighbourhoods(
    images: Embeddings, neighbours: Rows, k1: int, squares: Embeddings | None
) -> Sparse:
    """Returns exp(−distance) over the expanded reciprocal neighbours; rows sum to 1.

    Args:
        images: float32 `(num_images, dim)`.
        neighbours: Of each, itself first.
        k1: How many of them must be mutual.
        squares: What squared distances of each image are divided by, as the program
            has them; None for the distances themselves, as the paper has them.
    """
    mutual = _mutual(neighbours)
    half = _mutual(neighbours[:, : round(k1 / 2) + 1])
    # q's own set joins p's if two thirds of it are in there already.
    shared = (mutual @ half.T).multiply(mutual).tocoo()
    count, of_them = 3 * shared.data, 2 * half.sum(axis=1)[shared.col]
    enough = count >= of_them if squares is None else count > of_them
    joining = _table(shared.row[enough], shared.col[enough], shared.shape)
    sets = (mutual + joining @ half).tocoo()
    distances = _distances(images, sets.row, sets.col)
    if squares is not None:
        distances = distances**2 / squares[sets.row]
    table = _table(sets.row, sets.col, sets.shape, np.exp(-distances))
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
