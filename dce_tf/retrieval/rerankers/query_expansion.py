"""Average query expansion."""

from __future__ import annotations

import dataclasses

import numpy as np

from dce_tf.base.errors import UsageError
from dce_tf.retrieval.euclidean import EuclideanScorer
from dce_tf.retrieval.neighbours import find_neighbours
from dce_tf.retrieval.rerankers import RERANKERS, Asked
from dce_tf.retrieval.vectors import vector_lengths


@RERANKERS.register("query_expansion")
@dataclasses.dataclass(frozen=True)
class QueryExpansion:
    """Searches again with the mean of the query and what it found nearest.

    Average query expansion (Chum et al., ICCV 2007); with `alpha` above 0 the found
    ones are weighted by their cosine similarity to that power (Radenović et al., TPAMI
    2019, section 3.3).

    Args:
        n: How many of the nearest to take in.
        alpha: Power of the weights; 0 weighs all alike. The query itself has weight 1.

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

    def __call__(self, asked: Asked) -> EuclideanScorer:
        """Expands the queries; see `Reranker`."""
        query, gallery, same = asked.query, asked.gallery, asked.same
        found, _ = find_neighbours(query, gallery, self.n, exclude_self=same)
        own_lengths, lengths = vector_lengths(query), vector_lengths(gallery)
        total = query.astype(np.float64)
        weights = np.ones(len(query))
        for neighbours in found.T:
            near = gallery[neighbours].astype(np.float64)
            product = np.einsum("ij,ij->i", query.astype(np.float64), near)
            both = own_lengths * lengths[neighbours]
            cosine = (product / np.where(both > 0, both, 1)).clip(0)
            weight = cosine**self.alpha
            total += weight[:, None] * near
            weights += weight
        return EuclideanScorer(total / weights[:, None], gallery)
