"""Pictures that are there more than once: byte for byte, or nearly."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import sparse

from dce_tf.doctor.findings import Finding
from dce_tf.doctor.nearest import Neighbours, Vectors, pair_cosines
from dce_tf.doctor.pictures import MOST_EMPTY, Pictures
from dce_tf.doctor.population import Population

Pairs = npt.NDArray[np.int64]

# Of the splits there may be, whose picture is kept: one on which scores rest.
_KEPT_FIRST = ("query", "test", "gallery", "val", "train")


@dataclasses.dataclass(frozen=True)
class Nearness:
    """From where on two pictures are called the same.

    Attributes:
        bits: Most bits in which their perceptual hashes may differ, of 64.
        cosine: Least cosine of their embeddings.
        alone: The same where there are no hashes.
    """

    bits: int = 4
    cosine: float = 0.65
    alone: float = 0.98


@dataclasses.dataclass(frozen=True, eq=False)
class Copies:
    """Which images are copies of each other.

    Attributes:
        groups: Number of the group of each image, int64 `(num_images,)`; an image
            without a copy is a group by itself.
        exact: The same, of files that are equal byte for byte.
        nearest: The highest cosine to another of its group, float32 `(num_images,)`;
            1 of a byte-for-byte copy, 0 where there is none.
    """

    groups: Pairs
    exact: Pairs
    nearest: npt.NDArray[np.float32]

    def members(self) -> list[Pairs]:
        """Returns the rows of each group of two images or more."""
        return _members(self.groups)


def find_copies(
    vectors: Vectors,
    neighbours: Neighbours,
    pictures: Pictures | None,
    nearness: Nearness,
) -> Copies:
    """Finds which images are copies of each other.

    Two are near copies if both their embeddings and their perceptual hashes are near.
    Pairs that are compared are each image with its nearest, and images of one hash.

    Args:
        vectors: Embeddings of unit length, float32 `(num_images, dim)`.
        neighbours: The nearest images of each.
        pictures: What the files say; None where there are none.
        nearness: From where on.
    """
    count = len(vectors)
    if pictures is None:
        exact = np.empty((0, 2), np.int64)
        pairs = _near_pairs(neighbours, nearness.alone)
    else:
        exact = _equal_pairs(pictures.contents, pictures.readable)
        pairs = _seen_pairs(vectors, neighbours, pictures, nearness)
    nearest = np.zeros(count, np.float32)
    cosines = pair_cosines(vectors, pairs[:, 0], pairs[:, 1])
    for side in (0, 1):
        np.maximum.at(nearest, pairs[:, side], cosines)
    nearest[exact.ravel()] = 1
    return Copies(
        _components(np.concatenate([exact, pairs]), count),
        _components(exact, count),
        nearest,
    )


def _near_pairs(neighbours: Neighbours, cosine: float) -> Pairs:
    rows, places = np.nonzero(neighbours.cosines >= cosine)
    return np.stack([rows, neighbours.rows[rows, places]], axis=1).astype(np.int64)


def _seen_pairs(
    vectors: Vectors, neighbours: Neighbours, pictures: Pictures, nearness: Nearness
) -> Pairs:
    """Returns pairs that are near by embedding and by hash."""
    # The hash of a picture of one colour is noise.
    telling = pictures.readable & (pictures.emptiness < MOST_EMPTY)
    by_hash = _equal_pairs(pictures.hashes[:, None], telling)
    pairs = np.concatenate([_near_pairs(neighbours, nearness.cosine), by_hash])
    one, other = pairs.T
    differing = np.bitwise_count(pictures.hashes[one] ^ pictures.hashes[other])
    cosines = pair_cosines(vectors, one, other)
    near = (differing <= nearness.bits) & (cosines >= nearness.cosine)
    return pairs[near & telling[one] & telling[other]]


def _equal_pairs(keys: npt.NDArray[np.uint64], counted: npt.NDArray[np.bool_]) -> Pairs:
    """Returns pairs of rows of one key, each row with the next of its key."""
    rows = np.flatnonzero(counted)
    order = rows[np.lexsort(keys[rows].T)]
    same = (keys[order[1:]] == keys[order[:-1]]).all(axis=1)
    return np.stack([order[:-1][same], order[1:][same]], axis=1).astype(np.int64)


def _components(pairs: Pairs, count: int) -> Pairs:
    ones = np.ones(len(pairs), bool)
    graph = sparse.coo_matrix((ones, (pairs[:, 0], pairs[:, 1])), (count, count))
    numbers: Pairs = sparse.csgraph.connected_components(graph, directed=False)[1]
    return numbers.astype(np.int64)


def _members(groups: Pairs) -> list[Pairs]:
    shared = np.flatnonzero(np.bincount(groups)[groups] > 1)
    order = shared[np.argsort(groups[shared], kind="stable")]
    ends = np.flatnonzero(np.diff(groups[order])) + 1
    return np.split(order, ends) if len(order) else []


def find_duplicates(
    population: Population, copies: Copies, pictures: Pictures | None
) -> list[Finding]:
    """Returns groups of copies: leaks, those across classes, and those within one."""
    found = []
    for rows in copies.members():
        order = sorted(rows.tolist(), key=lambda row: _rank(row, population, pictures))
        kept, rest = order[0], tuple(order[1:])
        splits = {population.split(row) for row in rows}
        names = {population.name(row) for row in rows}
        kind = "duplicate"
        if len(splits) > 1:
            kind = "leak"
        elif len(names) > 1:
            kind = "duplicate_across_classes"
        is_exact = len(set(copies.exact[rows].tolist())) == 1
        score = float(copies.nearest[list(rest)].max())
        text = (
            "the same byte for byte" if is_exact else f"nearly the same ({score:.3f})"
        )
        if kind == "leak":
            text += f", in {_listed(splits)}"
        if len(names) > 1:
            text += f", called {_listed(names - {''})}"
        drop = "" if kind == "duplicate_across_classes" else "drop"
        found.append(Finding(kind, rest, (kept,), score, text, drop))
    return found


def _rank(
    row: int, population: Population, pictures: Pictures | None
) -> tuple[int, int, str]:
    """Says which copy is kept: of the first split, the largest, the first by name."""
    split = population.split(row)
    place = _KEPT_FIRST.index(split) if split in _KEPT_FIRST else len(_KEPT_FIRST)
    pixels = 0 if pictures is None else int(np.prod(pictures.sides[row]))
    return place, -pixels, population.paths[row]


def _listed(names: Sequence[str] | set[str]) -> str:
    return " and ".join(sorted(names))
