"""The cosines of all pairs of images, a tile at a time, rounded to a fine grid."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from dce_tf.base.threads import map_ahead
from dce_tf.datasets import Search
from dce_tf.retrieval.protocols import drawn_parts, exclusion_keys
from dce_tf.retrieval.ranking import Keys, Lookup, Rows
from dce_tf.retrieval.vectors import Embeddings, Numbers, comparable

STEPS = 2**16
"""Grid points from −1 to 1 are one more; neighbours differ by 2**-15."""

_HEIGHT, _WIDTH = 512, 4096  # 8 MB of cosines and 16 MB of grid points per thread.

Counted = TypeVar("Counted")


class Tile(NamedTuple):
    """Some queries against some of the gallery.

    Attributes:
        rows: The queries, a slice of those that are searched for.
        points: The grid point nearest to each cosine, int64 `(height, width)`, 0 for −1
            to `STEPS` for 1.
        positive: Where in `points` pairs of one class lie that count: rows, columns.
        hidden: Where pairs lie that do not count.
    """

    rows: slice
    points: npt.NDArray[np.intp]
    positive: tuple[Rows, Rows]
    hidden: tuple[Rows, Rows]


class PairSet:
    """The pairs of a search: each query with each image that it may find.

    Args:
        search: The images and the protocol.
        query: Embeddings of its queries, real numbers `(num_queries, dim)`.
        gallery: Embeddings of its gallery; `query` itself where those are the same.
        exclude: Which pairs do not count: see `score_search`.
        seed: Decides the galleries of a protocol that draws them.

    Raises:
        UsageError: If `exclude` is unknown, or needs groups and there are none.
        ValueError: If one is no embedding, or the widths differ.
    """

    def __init__(
        self,
        search: Search,
        query: Numbers,
        gallery: Numbers,
        *,
        exclude: str = "none",
        seed: int = 0,
    ) -> None:
        self.search = search
        self._query = comparable(query, "cosine", "query")
        self._gallery = (
            self._query
            if gallery is query
            else comparable(gallery, "cosine", "gallery")
        )
        if self._query.shape[1] != self._gallery.shape[1]:
            raise ValueError(
                "Query and gallery must be embeddings of one model; received "
                f"{self._query.shape[1]} and {self._gallery.shape[1]} numbers each."
            )
        self._keys = exclusion_keys(search, exclude)
        self._seed = seed

    def map(
        self, count: Callable[[Keys, Tile], Counted], *, once: bool
    ) -> Iterator[Counted]:
        """Calls a function with every tile, on all cores.

        Args:
            count: Takes the labels of the tile's queries, and the tile.
            once: Whether a pair of one set of images counts once, not from both ends.

        Yields:
            What it returned.
        """
        labels = self.search.query.labels, self.search.gallery.labels
        same = self.search.leave_one_out and not self.search.num_galleries
        for rows, others in drawn_parts(self.search, self._seed):
            plane = _Plane(
                (self._query[rows], self._gallery[others]),
                (labels[0][rows], labels[1][others]),
                (self._keys[0][rows], self._keys[1][others]),
                upper=same and once,
            )
            yield from plane.map(count)


class _Plane:
    """One set of queries against one gallery."""

    def __init__(
        self,
        vectors: tuple[Embeddings, Embeddings],
        labels: tuple[Keys, Keys],
        keys: tuple[Keys, Keys],
        *,
        upper: bool,
    ) -> None:
        query, gallery = vectors
        # One product gives the place on the grid: a further column moves −1 to 0.5, so
        # that cutting off the fraction rounds.
        self._left = np.empty((len(query), query.shape[1] + 1), np.float32)
        np.multiply(query, STEPS / 2, out=self._left[:, :-1])
        self._left[:, -1] = STEPS / 2 + 0.5
        self._right = np.ones((len(gallery), query.shape[1] + 1), np.float32)
        self._right[:, :-1] = gallery
        self._labels, self._keys, self._upper = labels, keys, upper
        self._classes, self._hidden = Lookup(labels[1]), Lookup(keys[1])

    def map(self, count: Callable[[Keys, Tile], Counted]) -> Iterator[Counted]:
        starts = range(0, len(self._left), _HEIGHT)

        def count_strip(start: int) -> list[Counted]:
            labels = self._labels[0][start : start + _HEIGHT]
            return [count(labels, tile) for tile in self._strip(start)]

        threads = os.cpu_count() or 1
        for counted in map_ahead(
            count_strip, starts, num_threads=threads, ahead=threads
        ):
            yield from counted

    def _strip(self, start: int) -> Iterator[Tile]:
        rows = slice(start, min(start + _HEIGHT, len(self._left)))
        positive = self._classes.pairs(self._labels[0][rows])
        hidden = self._hidden.pairs(self._keys[0][rows])
        is_hidden = self._keys[0][rows][positive[0]] == self._keys[1][positive[1]]
        first = start if self._upper else 0
        if self._upper:
            positive, is_hidden = _above(positive, start, is_hidden)
            hidden, _ = _above(hidden, start)
        positive = positive[0][~is_hidden], positive[1][~is_hidden]
        parts = [_Columns(each) for each in (positive, hidden)]
        for left in range(first, len(self._right), _WIDTH):
            right = min(left + _WIDTH, len(self._right))
            product = self._left[rows] @ self._right[left:right].T
            out_of_sight = parts[1].between(left, right)
            if self._upper and left < rows.stop:
                out_of_sight = _with_lower(out_of_sight, rows, left, right)
            yield Tile(
                rows,
                product.astype(np.intp),
                parts[0].between(left, right),
                out_of_sight,
            )


class _Columns:
    """Pairs in the order of their columns."""

    def __init__(self, pairs: tuple[Rows, Rows]) -> None:
        order = np.argsort(pairs[1], kind="stable")
        self._rows, self._columns = pairs[0][order], pairs[1][order]

    def between(self, left: int, right: int) -> tuple[Rows, Rows]:
        part = slice(*np.searchsorted(self._columns, (left, right)))
        return self._rows[part], self._columns[part] - left


def _above(
    pairs: tuple[Rows, Rows], start: int, flags: npt.NDArray[np.bool_] | None = None
) -> tuple[tuple[Rows, Rows], npt.NDArray[np.bool_]]:
    """Returns the pairs above the diagonal, and their flags."""
    is_above = pairs[1] > pairs[0] + start
    kept = pairs[0][is_above], pairs[1][is_above]
    return kept, np.zeros(0, bool) if flags is None else flags[is_above]


def _with_lower(
    hidden: tuple[Rows, Rows], rows: slice, left: int, right: int
) -> tuple[Rows, Rows]:
    """Returns hidden pairs with those on and below the diagonal."""
    row, column = np.mgrid[: rows.stop - rows.start, : right - left]
    lower = np.nonzero(column + left <= row + rows.start)
    return np.concatenate([hidden[0], lower[0]]), np.concatenate([hidden[1], lower[1]])
