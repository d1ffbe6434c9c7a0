"""Whether a search answers with the right class, and refuses unknown queries."""

from __future__ import annotations

import dataclasses
import os
from typing import NamedTuple

import numpy as np

from dce_tf.base.threads import map_ahead
from dce_tf.datasets import Search
from dce_tf.retrieval.intervals import Interval, class_intervals
from dce_tf.retrieval.metrics import Labels, Values
from dce_tf.retrieval.protocols import drawn_parts, exclusion_keys
from dce_tf.retrieval.ranking import BLOCK_SCORES, Keys, Lookup, Rows
from dce_tf.retrieval.vectors import Embeddings, Numbers, comparable

_ROUNDING = 2.0**-20  # Of the product of two unit vectors.


@dataclasses.dataclass(frozen=True, eq=False)
class NearestPairs:
    """How near each query is to its own class and to the nearest other one.

    Attributes:
        own: Cosine to the nearest image of its class, float32 `(num_queries,)`.
        other: Cosine to the nearest image of any other class; −∞ where there is none.
        labels: Class of each query, int32.
        rows: Which query of the search each is, int64.
        own_rows: Which image of the gallery `own` is of, int64.
        other_rows: Which image of the gallery `other` is of, int64.
    """

    own: Embeddings
    other: Embeddings
    labels: Labels
    rows: Rows
    own_rows: Rows
    other_rows: Rows

    def threshold_at(self, far: float) -> float:
        """Returns the lowest cosine that at most a share of the unknown reaches.

        Args:
            far: That share, 0 to 1.
        """
        falling = np.sort(self.other)[::-1]
        allowed = int(far * len(falling) * (1 + 1e-12))
        if allowed >= len(falling):
            return -1.0
        return float(np.nextafter(falling[allowed], np.float32(2)))

    def identified(self, threshold: float) -> Values:
        """Returns 1 for each query whose class is found and accepted, else 0."""
        right = (self.own > self.other + _ROUNDING) & (self.own >= threshold)
        return right.astype(np.float64)

    def rate_at(self, far: float) -> tuple[float, float, Interval]:
        """Returns how many are identified where a share of the unknown is accepted.

        Args:
            far: That share, 0 to 1.

        Returns:
            The threshold, the detection and identification rate, and its 95 % interval
            over classes.
        """
        threshold = self.threshold_at(far)
        values = self.identified(threshold)
        interval = class_intervals({"dir": values}, self.labels)["dir"]
        return threshold, float(values.mean()), interval


class _Block(NamedTuple):
    own: Embeddings
    other: Embeddings
    own_rows: Rows
    other_rows: Rows


def find_nearest_pairs(
    search: Search,
    query: Numbers,
    gallery: Numbers,
    *,
    exclude: str = "none",
    seed: int = 0,
) -> NearestPairs:
    """Asks every query twice: with its class in the gallery, and without.

    With its class there it is known, and identified if that class is nearest and near
    enough (a tie with another class is a miss). With its class taken out it is unknown,
    and a false alarm if anything is near enough. So the detection and identification
    rate (Phillips, Grother and Micheals, Handbook of Face Recognition, 2011, chapter
    21) needs no images that are set apart as unknown.

    Args:
        search: The images and the protocol.
        query: Embeddings of its queries, real numbers `(num_queries, dim)`.
        gallery: Embeddings of its gallery; `query` itself where those are the same.
        exclude: What a query is not to find: see `score_search`.
        seed: Decides the galleries of a protocol that draws them.

    Returns:
        One entry for each query whose class the gallery has, of each gallery drawn.

    Raises:
        UsageError: If `exclude` is unknown, or needs groups and there are none.
        ValueError: If one is no embedding, or no query has its class in the gallery.
    """
    mine = comparable(query, "cosine", "query")
    theirs = mine if gallery is query else comparable(gallery, "cosine", "gallery")
    query_keys, gallery_keys = exclusion_keys(search, exclude)
    parts: list[NearestPairs] = []
    whole = np.arange(len(mine)), np.arange(len(theirs))
    for part in drawn_parts(search, seed):
        rows, others = whole[0][part[0]], whole[1][part[1]]
        labels = search.query.labels[rows]
        found = _nearest(
            (mine[rows], theirs[others]),
            (labels, search.gallery.labels[others]),
            (query_keys[rows], gallery_keys[others]),
        )
        known = np.isfinite(found.own)
        parts.append(
            NearestPairs(
                found.own[known],
                found.other[known],
                labels[known],
                rows[known],
                others[found.own_rows[known]],
                others[found.other_rows[known]],
            )
        )
    joined = NearestPairs(
        *(
            np.concatenate([getattr(part, field.name) for part in parts])
            for field in dataclasses.fields(NearestPairs)
        )
    )
    if not len(joined.labels) or not np.isfinite(joined.other).any():
        raise ValueError(
            f"The search {search.name!r} cannot tell known images from unknown ones: "
            "expected queries with their class in the gallery, and other classes "
            "there. Give data with two classes or more, of two images or more each."
        )
    return joined


def _nearest(
    vectors: tuple[Embeddings, Embeddings],
    labels: tuple[Keys, Keys],
    keys: tuple[Keys, Keys],
) -> _Block:
    query, gallery = vectors
    classes, hidden = Lookup(labels[1]), Lookup(keys[1])
    threads = os.cpu_count() or 1
    size = max(1, BLOCK_SCORES // 4 // threads // max(1, len(gallery)))

    def search_block(start: int) -> _Block:
        rows = np.arange(start, min(start + size, len(query)))
        scores = query[rows] @ gallery.T
        scores[hidden.pairs(keys[0][rows])] = -np.inf
        of_class = classes.pairs(labels[0][rows])
        own, own_rows = _largest(of_class, scores[of_class], len(rows))
        scores[of_class] = -np.inf
        other_rows = scores.argmax(axis=1)
        return _Block(own, scores.max(axis=1), own_rows, other_rows)

    starts = range(0, len(query), size)
    blocks = list(map_ahead(search_block, starts, num_threads=threads, ahead=threads))
    return _Block(*map(np.concatenate, zip(*blocks, strict=True)))


def _largest(
    pairs: tuple[Rows, Rows], scores: Embeddings, count: int
) -> tuple[Embeddings, Rows]:
    """Returns the largest score of each row, −∞ for none, and its column."""
    largest = np.full(count, -np.inf, np.float32)
    columns = np.zeros(count, np.int64)
    # In rising order, so that the last that is written is the largest.
    order = np.argsort(scores, kind="stable")
    largest[pairs[0][order]] = scores[order]
    columns[pairs[0][order]] = pairs[1][order]
    return largest, columns
