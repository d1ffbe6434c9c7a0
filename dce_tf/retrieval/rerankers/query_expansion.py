"""Average query expansion."""

from __future__ import annotations

import dataclasses

import numpy as np

from dce_tf.errors import UsageError
from dce_tf.retrieval.neighbours import find_neighbours
from dce_tf.retrieval.ranking import Embeddings, EuclideanScorer
from dce_tf.retrieval.rerankers import RERANKERS


@RERANKERS.register("query_expansion")
@dataclasses.dataclass(frozen=True)
class QueryExpansion:
    """Searches again with the mean of the query and what it found nearest.

    Average query expansion (Chum et al., ICCV 2007); with `alpha` above 0 the found
    ones are weighted by their cosine similarity to that power (Radenović et al., TPAMI
    2019, section 3.3).

    Args:
        n: How many of the nearest to take in.
        alpha: Power of the weights; 0 weighs all alike.

    Raises:
        UsageError: If `n` is below 1 or `alpha` below 0.
    """

    n: int = 5
    alpha: float = 0.0

    def __post_init__(self) -> None:
        if self.n < 1 or self.alpha < 0:
            raise UsageError(
                "query_expansion needs n of at least 1 and alpha of at least 0; "
                f"received n={self.n}, alpha={self.alpha}."
            )

    def __call__(
        self, query: Embeddings, gallery: Embeddings, same: bool
    ) -> EuclideanScorer:
        """Expands the queries; see `Reranker`."""
        found, _ = find_neighbours(query, gallery, self.n, exclude_self=same)
        total = query.astype(np.float32)
        for neighbours in found.T:
            near = gallery[neighbours]
            cosine = np.einsum("ij,ij->i", query, near).clip(0)
            total += cosine[:, None] ** self.alpha * near
        length = np.linalg.norm(total, axis=1, keepdims=True)
        return EuclideanScorer(total / np.maximum(length, 1e-12), gallery)
