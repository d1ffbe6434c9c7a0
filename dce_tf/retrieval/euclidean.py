"""Scores by Euclidean distance, and how far rounding could have moved each."""

from __future__ import annotations

import numpy as np

from dce_tf.retrieval.ranking import Rows
from dce_tf.retrieval.vectors import Embeddings, Numbers, centred, check_vectors

# Rounding of a float32 score, as a share of what is added up in it: of two unit vectors
# it is 2**-20.
ROUNDING = 2.0**-20 / 3


class EuclideanScorer:
    """Scores by Euclidean distance.

    Keeps a copy of the gallery.

    Args:
        query: Numbers `(num_queries, dim)`.
        gallery: Numbers `(num_gallery, dim)`.

    Raises:
        ValueError: As `check_vectors`, or if their widths differ.
    """

    def __init__(self, query: Numbers, gallery: Numbers) -> None:
        query = check_vectors(query, "query")
        gallery = query if gallery is query else check_vectors(gallery, "gallery")
        self._query, images = centred(query, gallery)
        self.num_gallery, self._dim = images.shape
        self._own_squares = np.einsum("ij,ij->i", self._query, self._query)
        self._own_lengths = np.sqrt(self._own_squares)
        self._squares = np.einsum("ij,ij->i", images, images)
        self._lengths = np.sqrt(self._squares)
        # Two further columns, so that one product has the whole score.
        self._gallery = np.empty((self.num_gallery, self._dim + 2), np.float32)
        self._gallery[:, : self._dim] = images
        self._gallery[:, -2] = -(1 - ROUNDING) * self._squares
        self._gallery[:, -1] = 2 * ROUNDING * self._lengths

    def __call__(self, rows: Rows) -> Embeddings:
        """Returns ‖q‖² − ‖q − g‖² = 2 q·g − ‖g‖², and what rounding may have taken.

        That is a share of 2 ‖q‖ ‖g‖ + ‖g‖²: of the numbers of this very pair, so that
        one long vector leaves the ties of the others alone.
        """
        left = np.empty((len(rows), self._dim + 2), np.float32)
        np.multiply(self._query[rows], 2, out=left[:, : self._dim])
        left[:, -2] = 1
        left[:, -1] = self._own_lengths[rows]
        scores: Embeddings = left @ self._gallery.T
        return scores

    def slack(self, rows: Rows, images: Rows) -> Embeddings:
        """Returns twice that share; see `Scorer`."""
        added = 2 * self._own_lengths[rows] * self._lengths[images]
        slack: Embeddings = np.float32(2 * ROUNDING) * (added + self._squares[images])
        return slack

    def squared_distances(self, rows: Rows) -> Embeddings:
        """Returns ‖q − g‖², float32 `(block, num_gallery)`, a new array.

        Args:
            rows: The queries, `(block,)`.
        """
        images = self._gallery[:, : self._dim]
        squared: Embeddings = (-2 * self._query[rows]) @ images.T
        squared += self._squares
        squared += self._own_squares[rows, None]
        return np.maximum(squared, 0, out=squared)
