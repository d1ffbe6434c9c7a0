"""What is clustered, as many rows at a time as fit into memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy import sparse

Rows = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]

_MOST_BYTES = 64 << 20
# FAISS searches this many at once: blocks that are multiples of it give the same sums.
_UNIT = 4096
_ROUNDING = 1e-5  # Of the length of a row of several thousand float32.


class Points:
    """Rows of an array, perhaps at unit length.

    Of an array in memory, one block holds all. A memory-mapped one (`numpy.memmap`) is
    gone through in blocks of 64 MiB and never in memory as a whole.

    Args:
        array: float32 `(num_rows, dim)`.
        rows: Which rows of it, rising; None takes all.
        unit_length: Divide each row by its L2 norm.
    """

    def __init__(
        self, array: Vectors, rows: Rows | None = None, *, unit_length: bool = False
    ) -> None:
        self.is_mapped = isinstance(array, np.memmap)
        self._array = array
        self._rows = rows
        self._unit_length = unit_length
        self._block = len(self)
        if self.is_mapped:
            fitting = _MOST_BYTES // max(1, 4 * array.shape[1])
            self._block = max(_UNIT, fitting // _UNIT * _UNIT)
        else:
            self._array, self._rows = self._prepared(slice(None)), None
            self._unit_length = False

    def __len__(self) -> int:
        return len(self._array if self._rows is None else self._rows)

    @property
    def shape(self) -> tuple[int, int]:
        """Number and width."""
        return len(self), self._array.shape[1]

    def blocks(self) -> Iterator[tuple[slice, Vectors]]:
        """Yields the rows of each block, and what is in them, float32 and contiguous.

        There is at least one, though it may be empty.
        """
        for start in range(0, max(1, len(self)), max(1, self._block)):
            chosen = slice(start, min(start + self._block, len(self)))
            yield chosen, self._prepared(chosen)

    def take(self, rows: Rows) -> Vectors:
        """Returns some rows, float32 `(num_rows, dim)`."""
        return self._prepared(rows)

    def all(self) -> Vectors:
        """Returns all rows, in memory."""
        return self._prepared(slice(None))

    def _prepared(self, chosen: slice | Rows) -> Vectors:
        if self._rows is not None:
            chosen = self._rows[chosen]
        values = np.ascontiguousarray(self._array[chosen], np.float32)
        plain: Vectors = values.view(np.ndarray)
        return unit_length(plain) if self._unit_length else plain


def unit_length(features: Vectors) -> Vectors:
    """Returns each row divided by its L2 norm; zero rows stay zero.

    Where all rows have that length already, it is the array itself, not a copy.
    """
    norms: Vectors = np.sqrt(np.einsum("ij,ij->i", features, features))
    if features.dtype == np.float32 and np.all(np.abs(norms - 1) < _ROUNDING):
        return features
    # k-means refuses what is not finite, and says how much of it there is.
    with np.errstate(invalid="ignore", over="ignore"):
        return np.divide(features, np.maximum(norms, 1e-12)[:, None], dtype=np.float32)


def cluster_means(
    points: Points,
    membership: npt.NDArray[np.int32] | npt.NDArray[np.int64],
    num_clusters: int,
) -> Vectors:
    """Returns the mean of each cluster, float32 `(num_clusters, dim)`.

    Args:
        points: What was clustered.
        membership: Cluster of each, int `(num_points,)`; below 0 does not count.
        num_clusters: How many; an empty one has the mean 0.
    """
    sums = np.zeros((num_clusters, points.shape[1]))
    for rows, values in points.blocks():
        own = membership[rows]
        for first in range(0, len(own), _UNIT):
            part = own[first : first + _UNIT]
            there = np.flatnonzero(part >= 0)
            # There may be more clusters than rows: only those that occur are summed.
            present, row = np.unique(part[there], return_inverse=True)
            shape = (len(present), len(part))
            # Of float64, so that the sums are.
            which = sparse.csr_array((np.ones(len(there)), (row, there)), shape)
            sums[present] += which @ values[first : first + _UNIT].astype(np.float64)
    counted = membership[membership >= 0]
    sizes = np.bincount(counted, minlength=num_clusters)[:num_clusters]
    return (sums / np.maximum(sizes, 1)[:, None]).astype(np.float32)
