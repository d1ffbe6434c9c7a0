"""Re-ranking by what is at the places of images."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from dce_tf.base.errors import UsageError
from dce_tf.index.collection import Places
from dce_tf.retrieval.euclidean import EuclideanScorer
from dce_tf.retrieval.places import match_places
from dce_tf.retrieval.ranking import Rows, Scorer
from dce_tf.retrieval.rerankers import RERANKERS, Asked
from dce_tf.retrieval.vectors import Embeddings


@RERANKERS.register("local")
@dataclasses.dataclass(frozen=True)
class Local:
    """Orders the first hits again, by their places too.

    A hit's new score is its cosine + `weight` · match, where match is the mean, over
    the places of both images, of the cosine of a place and the most alike place of the
    other image: the late interaction of ColBERT (Khattab and Zaharia, SIGIR 2020),
    both ways.

    Args:
        top: How many hits are looked at.
        weight: What the match counts beside the cosine of the whole images.

    Raises:
        UsageError: If `top` is below 2 or `weight` not above 0.
    """

    top: int = 100
    weight: float = 2.0

    def __post_init__(self) -> None:
        if self.top < 2 or not 0 < self.weight < np.inf:
            raise UsageError(
                "local needs top of at least 2 and weight above 0; received "
                f"top={self.top}, weight={self.weight:g}."
            )

    def scores(self, cosines: Any, query: Places, others: Places) -> Any:
        """Returns the new scores of a query's hits, float32 `(num_hits,)`.

        Args:
            cosines: Of the query and each hit, `(num_hits,)`.
            query: Places of the query, `(places, dim)`.
            others: Those of the hits, `(num_hits, places, dim)`.
        """
        return cosines + self.weight * match_places(query, others)

    def __call__(self, asked: Asked) -> Scorer:
        """Refuses: embeddings alone have no places.

        Raises:
            UsageError: Always.
        """
        del asked
        raise UsageError(
            "local compares places of images, which embeddings alone do not have. Use "
            "k_reciprocal or query_expansion."
        )

    def with_places(self, query: Places, gallery: Places) -> LocalOf:
        """Returns what re-ranks by the places of these images.

        Args:
            query: Of the queries, `(num_queries, places, dim)`.
            gallery: Of the gallery; the same array where the images are the same.
        """
        return LocalOf(self, query, gallery)


@dataclasses.dataclass(frozen=True, eq=False)
class LocalOf:
    """`Local` for the images of one search; see `Reranker`.

    Attributes:
        look: How to look.
        query: Places of all of its queries.
        gallery: Those of its gallery.
    """

    look: Local
    query: Places
    gallery: Places

    def __call__(self, asked: Asked) -> Scorer:
        """Re-ranks; what is hidden takes no place among the first."""
        places = self.query[asked.query_rows], self.gallery[asked.gallery_rows]
        return _LocalScorer(asked, places, self.look)


class _LocalScorer(EuclideanScorer):
    """Lifts the nearest images above all others, in their new order."""

    def __init__(
        self, asked: Asked, places: tuple[Places, Places], look: Local
    ) -> None:
        super().__init__(asked.query, asked.gallery)
        self._places, self._keys, self._look = places, asked.keys, look
        lengths = self._own_lengths.max(initial=0), self._lengths.max(initial=0)
        # No score is larger, once it is lifted.
        self._most = 3 * float((lengths[0] + lengths[1]) ** 2) + 6 * look.weight

    def __call__(self, rows: Rows) -> Embeddings:
        """Returns −distance² + 2 · weight · match of the nearest, lifted."""
        scores = super().__call__(rows)
        own, others = self._places
        weight = 2 * self._look.weight
        for scored, row in zip(scores, rows, strict=True):
            if self._keys is not None:
                scored[self._keys[1] == self._keys[0][row]] = -np.inf
            nearest = _nearest(scored, self._look.top)
            if not len(nearest):
                continue
            lift = scored.max() - scored[nearest].min() + 2 * weight
            match = match_places(own[row], others[nearest])
            scored[nearest] += np.float32(lift) + np.float32(weight) * match
        return scores

    def slack(self, rows: Rows, images: Rows) -> Embeddings:
        """Returns what rounding may have taken; see `Scorer`."""
        return super().slack(rows, images) + np.float32(self._most * 2.0**-21)


def _nearest(scores: Embeddings, top: int) -> Rows:
    """Returns where the highest scores are; where the last of them tie, none of those.

    So images that are all alike stay a tie, which counts against the model.
    """
    least = -np.inf
    if len(scores) > top:
        least = np.partition(scores, len(scores) - top - 1)[len(scores) - top - 1]
    return np.flatnonzero(scores > least)
