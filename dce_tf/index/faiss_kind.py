"""What the kinds of search structure have in common, and how FAISS stores them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Protocol

import faiss as _faiss
import numpy as np
import numpy.typing as npt

from dce_tf.base.errors import UsageError
from dce_tf.index.collection import Vectors

faiss: Any = _faiss  # Its stubs do not know what its Python adds.

Positions = npt.NDArray[np.int64]

_BLOCK = 65_536  # Vectors that are read at once.


class Kind(Protocol):
    """How vectors are searched.

    Attributes:
        is_exact: Whether the scores of `search` are the vectors' own; those of codes
            are compared again with the whole vectors.
    """

    @property
    def is_exact(self) -> bool:
        """See above."""

    def candidates(self, k: int) -> int:
        """Returns how many to look for where `k` are wanted, `k` or more."""

    def build(self, vectors: Vectors) -> Any:
        """Returns an index that holds vectors of unit length."""

    def search(
        self, index: Any, queries: Vectors, k: int, selector: Any
    ) -> tuple[Vectors, Positions]:
        """Finds `k` among what is selected: scores, and positions; −1 for none."""

    def write(self, index: Any, file: BinaryIO) -> None:
        """Writes what `build` returned."""

    def read(self, path: Path) -> Any:
        """Reads what `write` wrote.

        Raises:
            RuntimeError: If it is something else.
        """


class FaissKind:
    """A kind whose index is one of FAISS, with inner products."""

    is_exact: ClassVar[bool] = False

    def candidates(self, k: int) -> int:
        """Returns how many to look for; see `Kind`."""
        return k

    def parameters(self, index: Any, k: int, selector: Any) -> Any:
        """Returns FAISS's parameters of a search for `k` among what is selected."""
        del index, k
        return faiss.SearchParameters(sel=selector)

    def search(
        self, index: Any, queries: Vectors, k: int, selector: Any
    ) -> tuple[Vectors, Positions]:
        """Finds `k`; see `Kind`."""
        chosen = self.parameters(index, k, selector)
        scores, positions = index.search(queries, k, params=chosen)
        return scores, positions

    def write(self, index: Any, file: BinaryIO) -> None:
        """Writes the index; see `Kind`."""
        # Not by its name: FAISS tells of a full disk without its error number.
        faiss.write_index(index, faiss.PyCallbackIOWriter(file.write))

    def read(self, path: Path) -> Any:
        """Reads the index; see `Kind`."""
        return faiss.read_index(str(path))


def fill(index: Any, vectors: Vectors) -> Any:
    """Adds vectors that may lie in a mapped file, some at a time; returns the index."""
    for block in blocks_of(vectors):
        index.add(block)
    return index


def blocks_of(vectors: Vectors) -> Iterator[Vectors]:
    """Yields vectors that may lie in a mapped file, some at a time."""
    for start in range(0, len(vectors), _BLOCK):
        yield np.ascontiguousarray(vectors[start : start + _BLOCK])


def draw_some(vectors: Vectors, count: int) -> Vectors:
    """Draws vectors to learn from, the same each time: `count`, or all there are."""
    if count >= len(vectors):
        return np.ascontiguousarray(vectors)
    chosen = np.random.default_rng(0).choice(len(vectors), count, replace=False)
    drawn: Vectors = vectors[np.sort(chosen)]
    return drawn


def check_options(kind: str, **values: tuple[Any, int]) -> None:
    """Checks that options are whole numbers.

    Args:
        kind: Whose they are.
        **values: Each with the lowest it may be.

    Raises:
        UsageError: If one is not.
    """
    for name, (value, lowest) in values.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < lowest:
            raise UsageError(
                f"--kind={kind}({name}={value!r}): expected a whole number from "
                f"{lowest} on."
            )
