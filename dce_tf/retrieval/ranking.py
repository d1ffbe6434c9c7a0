"""At which ranks a search finds the images of each query's class."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from dce_tf.base.threads import map_ahead
from dce_tf.retrieval.vectors import Embeddings

Rows = npt.NDArray[np.int64]
Keys = npt.NDArray[Any]

# Queries × gallery images that are in memory at once, over all threads: 256 MB.
BLOCK_SCORES = 2**26

FEW_BARS = 16  # This many passes over a row of scores take less time than sorting it.

NEVER = np.iinfo(np.int64).max  # The rank of what is not there.


class Scorer(Protocol):
    """Says how near gallery images are to queries.

    Attributes:
        num_gallery: How many gallery images there are.
    """

    num_gallery: int

    def __call__(self, rows: Rows) -> Embeddings:
        """Scores all gallery images for some queries, the nearest highest.

        Args:
            rows: The queries, `(block,)`.

        Returns:
            A new float32 array `(block, num_gallery)`: the highest score that each
            could have but for rounding.
        """

    def slack(self, rows: Rows, images: Rows) -> Embeddings:
        """Returns how much lower than that the score of each pair could be.

        Args:
            rows: A query for each pair, `(num_pairs,)`.
            images: A gallery image for each pair, `(num_pairs,)`.

        Returns:
            float32 `(num_pairs,)`.
        """


class Ranks(NamedTuple):
    """Where a block of queries finds the images of its class.

    Attributes:
        rows: The queries, int64 `(block,)`.
        ranks: int64 `(block, most)`: the rank, from 1, of each gallery image of the
            query's class, rising, then `NEVER`.
        relevant: How many those are, int64 `(block,)`.
    """

    rows: Rows
    ranks: Rows
    relevant: Rows


def rank_blocks(
    scorer: Scorer,
    query_labels: Keys,
    gallery_labels: Keys,
    *,
    query_keys: Keys | None = None,
    gallery_keys: Keys | None = None,
) -> Iterator[Ranks]:
    """Ranks the gallery for every query, a block of queries at a time, on all cores.

    A tie counts against the model: among images equally near, those of other classes
    come first. Two are equally near if rounding alone could make them so, which is
    decided for each from its own numbers. So a collapsed network, whose embeddings are
    all alike, finds nothing.
    Memory grows with a block of queries, never with queries × gallery.

    Args:
        scorer: Says what is near.
        query_labels: Class of each query, integer `(num_queries,)`.
        gallery_labels: Class of each gallery image, numbered like the queries'.
        query_keys: With `gallery_keys`: a gallery image with the key of a query is
            left out when it is searched, as if it were not there; integer
            `(num_queries,)`.
        gallery_keys: Integer `(num_gallery,)`.

    Yields:
        The ranks of all queries, those with the fewest images of their class first.
    """
    classes = Lookup(gallery_labels)
    hidden = None if gallery_keys is None else Lookup(gallery_keys)
    order = np.argsort(classes.counts(query_labels), kind="stable")
    num_threads = os.cpu_count() or 1
    size = max(1, BLOCK_SCORES // num_threads // max(1, scorer.num_gallery))
    blocks = [order[start : start + size] for start in range(0, len(order), size)]

    def rank(rows: Rows) -> Ranks:
        scores = scorer(rows)
        if hidden is not None and query_keys is not None:
            scores[hidden.pairs(query_keys[rows])] = -np.inf
        return _rank(scores, rows, classes.pairs(query_labels[rows]), scorer)

    yield from map_ahead(rank, blocks, num_threads=num_threads, ahead=num_threads)


def _rank(
    scores: Embeddings, rows: Rows, pairs: tuple[Rows, Rows], scorer: Scorer
) -> Ranks:
    query, image = pairs
    found = scores[query, image]
    there = found > -np.inf
    query, found, image = query[there], found[there], image[there]
    lowest = found - scorer.slack(rows[query], image)
    # Own images in the order of the ranks they get: by the lowest they could score.
    order = np.lexsort((-lowest, query))
    highest = found[np.lexsort((found, query))]
    query, lowest = query[order], lowest[order]
    relevant = np.bincount(query, minlength=len(rows))
    first = np.cumsum(relevant) - relevant
    place = np.arange(len(query)) - first[query]
    ranks = np.full((len(rows), max(1, relevant.max(initial=0))), NEVER)
    for i in np.flatnonzero(relevant):
        own = slice(first[i], first[i] + relevant[i])
        bars = lowest[own]
        own_as_near = relevant[i] - np.searchsorted(highest[own], bars)
        ranks[i, : relevant[i]] = _count_from(scores[i], bars) - own_as_near
    ranks[query, place] += place + 1
    return Ranks(rows, ranks, relevant)


def _count_from(scores: Embeddings, bars: Embeddings) -> Rows:
    """Returns how many scores are at least each bar; may sort the scores."""
    near = scores >= bars.min()
    if 2 * np.count_nonzero(near) < len(scores):
        scores = scores[near]  # Mostly a small share, which later passes read faster.
    if len(bars) <= FEW_BARS:
        return np.array([np.count_nonzero(scores >= bar) for bar in bars])
    scores.sort()
    return len(scores) - np.searchsorted(scores, bars)


class Lookup:
    """Finds the rows that carry a key.

    Args:
        keys: Integer key of each row, `(num_rows,)`.
    """

    def __init__(self, keys: Keys) -> None:
        self._order = np.argsort(keys, kind="stable")
        self._sorted = np.asarray(keys)[self._order]

    def counts(self, wanted: Keys) -> Rows:
        """Returns how many rows carry each wanted key, int64 `(num_wanted,)`."""
        return self._bounds(wanted)[1]

    def pairs(self, wanted: Keys) -> tuple[Rows, Rows]:
        """Returns positions in `wanted` and rows that carry the key, pair by pair."""
        start, count = self._bounds(wanted)
        position = np.repeat(np.arange(len(wanted)), count)
        offset = np.arange(len(position)) - np.repeat(np.cumsum(count) - count, count)
        return position, self._order[start[position] + offset]

    def _bounds(self, wanted: Keys) -> tuple[Rows, Rows]:
        start = np.searchsorted(self._sorted, wanted)
        return start, np.searchsorted(self._sorted, wanted, side="right") - start
