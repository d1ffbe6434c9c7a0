"""Short codes: searched in memory, then compared again with the vectors on disk."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, BinaryIO

import faiss as _faiss
import numpy as np

from dce_tf.index.collection import Vectors
from dce_tf.index.faiss_kind import (
    FaissKind,
    Positions,
    blocks_of,
    check_options,
    draw_some,
    fill,
)

faiss: Any = _faiss  # Its stubs do not know what its Python adds.

_SAMPLE = 65_536  # Vectors that ranges and thresholds are learned from.


@dataclasses.dataclass
class Int8(FaissKind):
    """Compares with every vector in one byte per number, then exactly with the best.

    Args:
        rescore: How many candidates are compared exactly in a search; four for each
            neighbour asked for if that is more.
    """

    rescore: int = 100

    def __post_init__(self) -> None:
        check_options("int8", rescore=(self.rescore, 1))

    def candidates(self, k: int) -> int:
        """Returns how many to look for; see `Kind`."""
        return max(self.rescore, 4 * k)

    def build(self, vectors: Vectors) -> Any:
        """Returns the codes; see `Kind`. Each number has a range of its own."""
        index = faiss.IndexScalarQuantizer(
            vectors.shape[1],
            faiss.ScalarQuantizer.QT_8bit,
            faiss.METRIC_INNER_PRODUCT,
        )
        index.train(draw_some(vectors, _SAMPLE))
        return fill(index, vectors)


@dataclasses.dataclass(frozen=True, eq=False)
class BinaryCodes:
    """What the kind `binary` searches.

    Attributes:
        encoder: FAISS's IndexLSH, empty: a rotation, and the threshold of each bit.
        codes: FAISS's IndexBinaryFlat with the bits of every vector.
    """

    encoder: Any
    codes: Any


@dataclasses.dataclass
class Binary(FaissKind):
    """Compares with every vector in one bit per number, then exactly with the best.

    Vectors are turned at random, and a bit says on which side of the median a number
    is (Charikar, "Similarity Estimation Techniques from Rounding Algorithms", 2002).

    Args:
        rescore: How many candidates are compared exactly in a search; ten for each
            neighbour asked for if that is more.
        bits: Bits per vector, rounded up to whole bytes; 0 takes one per number.
    """

    rescore: int = 100
    bits: int = 0

    def __post_init__(self) -> None:
        check_options("binary", rescore=(self.rescore, 1), bits=(self.bits, 0))

    def candidates(self, k: int) -> int:
        """Returns how many to look for; see `Kind`."""
        return max(self.rescore, 10 * k)

    def build(self, vectors: Vectors) -> BinaryCodes:
        """Returns the codes; see `Kind`."""
        dim = vectors.shape[1]
        bits = 8 * -(-(self.bits or dim) // 8)
        encoder = faiss.IndexLSH(dim, bits, True, True)
        encoder.train(draw_some(vectors, _SAMPLE))
        codes = faiss.IndexBinaryFlat(bits)
        for block in blocks_of(vectors):
            codes.add(encoder.sa_encode(block))
        return BinaryCodes(encoder, codes)

    def search(
        self, index: BinaryCodes, queries: Vectors, k: int, selector: Any
    ) -> tuple[Vectors, Positions]:
        """Finds `k`; see `Kind`. A score is how few bits differ."""
        asked = index.encoder.sa_encode(queries)
        chosen = faiss.SearchParameters(sel=selector)
        differing, positions = index.codes.search(asked, k, params=chosen)
        return -differing.astype(np.float32), positions

    def write(self, index: BinaryCodes, file: BinaryIO) -> None:
        """Writes both, one after the other; see `Kind`."""
        super().write(index.encoder, file)
        faiss.write_index_binary(index.codes, faiss.PyCallbackIOWriter(file.write))

    def read(self, path: Path) -> BinaryCodes:
        """Reads both; see `Kind`."""
        with path.open("rb") as file:
            # One reader for both: it may read further than the first of them.
            reader = faiss.PyCallbackIOReader(file.read)
            encoder = faiss.read_index(reader)
            return BinaryCodes(encoder, faiss.read_index_binary(reader))
