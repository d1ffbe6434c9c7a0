"""What finds neighbours among vectors: exactly, or by a structure of FAISS."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import faiss as _faiss
import numpy as np
import numpy.typing as npt

from dce_tf.index.collection import DamagedError, Vectors
from dce_tf.index.faiss_kind import Kind, Positions
from dce_tf.index.kinds import KINDS

faiss: Any = _faiss  # Its stubs do not know what its Python adds.

Mask = npt.NDArray[np.bool_]

# Up to here, records are compared one by one: a structure would look at others.
SCANNED = 20_000
_FLOATS_AT_ONCE = 2**24  # Of candidates that are compared again.


@dataclasses.dataclass(frozen=True, eq=False)
class Structure:
    """Vectors of one build, to be searched; no vector is added or taken away.

    Attributes:
        vectors: Of unit length, float32 `(num_vectors, dim)`; may lie in a mapped file.
        kind: How they are searched; None for one by one.
        index: What FAISS searches, its numbers being positions in `vectors`, or None.
    """

    vectors: Vectors
    kind: Kind | None = None
    index: Any = None

    @classmethod
    def build(cls, vectors: Vectors, spec: str) -> Structure:
        """Makes the structure of a kind, `auto` not being one."""
        kind = KINDS.build(spec)
        return cls(vectors, kind, kind and kind.build(vectors))

    @classmethod
    def read(cls, vectors: Vectors, spec: str, path: Path) -> Structure:
        """Reads what `write` wrote.

        Raises:
            DamagedError: If it is of another kind.
        """
        kind = KINDS.build(spec)
        if kind is None:
            return cls(vectors)
        try:
            return cls(vectors, kind, kind.read(path))
        except RuntimeError as error:  # FAISS's own.
            raise DamagedError(
                f"{path} holds no structure of the kind {spec}. Make the index again."
            ) from error

    def write(self, path: Path) -> bool:
        """Writes what was built beside the vectors; returns whether there is any."""
        if self.index is None or self.kind is None:
            return False
        with path.open("wb") as file:
            self.kind.write(self.index, file)
        return True

    def search(
        self, queries: Vectors, k: int, keep: Mask | None = None
    ) -> tuple[Vectors, Positions]:
        """Finds the vectors nearest to each query.

        Args:
            queries: Of unit length, float32 `(num_queries, dim)`.
            k: How many.
            keep: Which vectors count, bool `(num_vectors,)`; None for all.

        Returns:
            Cosine similarities, falling, float32 `(num_queries, found)`, and positions
            in `vectors`, int64. `found` is `k`, or as many as count.
        """
        count = len(self.vectors) if keep is None else int(np.count_nonzero(keep))
        k = min(k, count)
        if not k or self.index is None or self.kind is None or count <= SCANNED:
            return scan(self.vectors, queries, k, keep)
        wanted = min(self.kind.candidates(k), len(self.vectors))
        selector, bits = _selector(keep)
        scores, positions = self.kind.search(self.index, queries, wanted, selector)
        del bits  # FAISS reads them where they lie.
        if not self.kind.is_exact:
            scores = self._compare(queries, positions)
        scores[positions < 0] = -np.inf
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        scores = np.take_along_axis(scores, order, axis=1)
        positions = np.take_along_axis(positions, order, axis=1)
        # A structure looks at some vectors only, of which too few may count.
        short = np.flatnonzero((positions < 0).any(axis=1))
        if len(short):
            scores[short], positions[short] = scan(
                self.vectors, np.ascontiguousarray(queries[short]), k, keep
            )
        return scores, positions

    def _compare(self, queries: Vectors, positions: Positions) -> Vectors:
        scores = np.empty(positions.shape, np.float32)
        step = max(1, _FLOATS_AT_ONCE // (positions.shape[1] * queries.shape[1]))
        for start in range(0, len(queries), step):
            part = slice(start, start + step)
            candidates = self.vectors[np.maximum(positions[part], 0)]
            scores[part] = np.matmul(candidates, queries[part, :, None])[..., 0]
        return scores


def scan(
    vectors: Vectors, queries: Vectors, k: int, keep: Mask | None = None
) -> tuple[Vectors, Positions]:
    """Compares each query with every vector; see `Structure.search`."""
    chosen = None
    if keep is not None and np.count_nonzero(keep) < len(vectors) // 8:
        chosen = np.flatnonzero(keep)
        vectors, keep = vectors[chosen], None
    scores = np.empty((len(queries), k), np.float32)
    positions = np.empty((len(queries), k), np.int64)
    if not k or not len(queries):
        return scores, positions
    selector, bits = _selector(keep)
    if selector is None and len(queries) == 1:
        # Without any, FAISS wakes all threads for what one of them does.
        selector = faiss.IDSelectorAll()
    faiss.knn_inner_product(
        faiss.swig_ptr(queries),
        faiss.swig_ptr(vectors),
        vectors.shape[1],
        len(queries),
        len(vectors),
        k,
        faiss.swig_ptr(scores),
        faiss.swig_ptr(positions),
        selector,
    )
    del bits  # FAISS reads them where they lie.
    return scores, positions if chosen is None else chosen[positions]


def _selector(keep: Mask | None) -> tuple[Any, Any]:
    if keep is None:
        return None, None
    bits = np.packbits(keep, bitorder="little")
    return faiss.IDSelectorBitmap(bits), bits
