"""The kinds of structure that find neighbours among many vectors, built by FAISS."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import faiss as _faiss

from dce_tf.base.errors import UsageError
from dce_tf.base.registry import Registry
from dce_tf.index.codes import Binary, Int8
from dce_tf.index.collection import Vectors
from dce_tf.index.faiss_kind import FaissKind, Kind, check_options, draw_some, fill

faiss: Any = _faiss  # Its stubs do not know what its Python adds.

# A vector more than these and `auto` takes the next kind.
MOST_EXACT = 100_000
MOST_HNSW = 2_000_000
MOST_SQ = 20_000_000

_SAMPLE_OF_CODES = 10_240  # Vectors that codes are learned from, at least.

KINDS: Registry[Kind | None] = Registry("kind")


@KINDS.register("exact")
def exact() -> None:
    """Compares with every vector. No build, no loss; the time grows with the number."""


@KINDS.register("hnsw")
@dataclasses.dataclass
class Hnsw(FaissKind):
    """A graph of near neighbours (Malkov and Yashunin, 2016). Fast; takes memory.

    Args:
        links: How many neighbours a vector keeps, 2 or more.
        ef_build: Candidates looked at for each vector as it is added.
        ef: Candidates looked at in a search: more find more and take longer.
    """

    links: int = 32
    ef_build: int = 80
    ef: int = 128
    is_exact: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_options("hnsw", links=(self.links, 2), ef_build=(self.ef_build, 1))
        check_options("hnsw", ef=(self.ef, 1))

    def build(self, vectors: Vectors) -> Any:
        """Returns the graph; see `Kind`."""
        dim = vectors.shape[1]
        index = faiss.IndexHNSWFlat(dim, self.links, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = self.ef_build
        return fill(index, vectors)

    def parameters(self, index: Any, k: int, selector: Any) -> Any:
        """Returns how far to look; see `Kind`."""
        del index
        return faiss.SearchParametersHNSW(sel=selector, efSearch=max(self.ef, k))


@dataclasses.dataclass
class Ivf(FaissKind):
    """Lists of near vectors, of which a few are read, in codes of few bytes.

    Args:
        lists: How many lists; 0 takes 4 · √n.
        probes: How many are read in a search; 0 takes a 32nd of them, 16 at least.
        refine: Candidates compared exactly for each neighbour asked for.
        sample: Vectors per list that k-means finds the lists with.
    """

    lists: int = 0
    probes: int = 0
    refine: int = 4
    sample: int = 64

    def __post_init__(self) -> None:
        check_options("ivf", lists=(self.lists, 0), probes=(self.probes, 0))
        check_options("ivf", refine=(self.refine, 1), sample=(self.sample, 1))

    def build(self, vectors: Vectors) -> Any:
        """Returns the lists, trained on a sample; see `Kind`."""
        count, dim = vectors.shape
        lists = min(self.lists or round(4 * count**0.5), count)
        index = self.empty(faiss.IndexFlatIP(dim), dim, lists, count)
        # Vectors of unit length have means of unit length.
        index.cp.spherical = True
        index.cp.min_points_per_centroid = 1
        index.cp.max_points_per_centroid = max(256, self.sample)
        index.train(draw_some(vectors, max(self.sample * lists, _SAMPLE_OF_CODES)))
        return fill(index, vectors)

    def candidates(self, k: int) -> int:
        """Returns how many to look for; see `Kind`."""
        return k * self.refine

    def empty(self, lists_of: Any, dim: int, lists: int, count: int) -> Any:
        """Returns the lists with their codes, neither trained nor filled.

        Args:
            lists_of: What finds the lists of a vector.
            dim: Width of the vectors.
            lists: How many lists.
            count: How many vectors there are to train with.
        """
        raise NotImplementedError

    def parameters(self, index: Any, k: int, selector: Any) -> Any:
        """Returns how many lists to read; see `Kind`."""
        del k
        probes = self.probes or max(16, index.nlist // 32)
        return faiss.SearchParametersIVF(sel=selector, nprobe=min(probes, index.nlist))


@KINDS.register("ivf_sq")
@dataclasses.dataclass
class IvfSq(Ivf):
    """Lists of vectors in one byte a number. Quick to build, a quarter of the memory.

    Args:
        lists: How many lists; 0 takes 4 · √n.
        probes: How many are read in a search; 0 takes a 32nd of them, 16 at least.
        refine: Candidates compared exactly for each neighbour asked for.
        sample: Vectors per list that k-means finds the lists with.
    """

    def empty(self, lists_of: Any, dim: int, lists: int, count: int) -> Any:
        """Returns the lists; see `Ivf`."""
        del count
        return faiss.IndexIVFScalarQuantizer(
            lists_of,
            dim,
            lists,
            faiss.ScalarQuantizer.QT_8bit,
            faiss.METRIC_INNER_PRODUCT,
        )


@KINDS.register("ivf_pq")
@dataclasses.dataclass
class IvfPq(Ivf):
    """Lists of product-quantised vectors (Jégou et al., 2011), for very many.

    Args:
        lists: How many lists; 0 takes 4 · √n.
        probes: How many are read in a search; 0 takes a 32nd of them, 16 at least.
        refine: Candidates compared exactly for each neighbour asked for.
        sample: Vectors per list that k-means finds the lists with.
        code: Bytes per vector, a divisor of its width; 0 takes a quarter of the width
            or the next divisor below.
    """

    refine: int = 10
    code: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_options("ivf_pq", code=(self.code, 0))

    def empty(self, lists_of: Any, dim: int, lists: int, count: int) -> Any:
        """Returns the lists; see `Ivf`.

        Raises:
            UsageError: If the bytes of a code do not divide the width.
        """
        fitting = [size for size in range(1, dim + 1) if dim % size == 0]
        code = self.code or max(size for size in fitting if size <= max(1, dim // 4))
        if code not in fitting:
            nearest = min(fitting, key=lambda size: abs(size - code))
            raise UsageError(
                f"--kind=ivf_pq(code={code}): embeddings of {dim} numbers cannot be "
                f"cut into {code} equal parts. The nearest that works is {nearest}."
            )
        # A code of 8 bits needs 256 examples to learn from.
        bits = min(8, count.bit_length() - 1)
        # Not by FAISS's factory: its kind orders the codes too, which takes 10 times
        # as long and serves searches that are not made here.
        index = faiss.IndexIVFPQ(
            lists_of, dim, lists, code, bits, faiss.METRIC_INNER_PRODUCT
        )
        index.pq.cp.min_points_per_centroid = 1
        return index


KINDS.register("int8")(Int8)
KINDS.register("binary")(Binary)


def check_kind(spec: str) -> None:
    """Checks how a collection is to be searched.

    Raises:
        UsageError: If `spec` is neither `auto` nor an entry of `KINDS` with options.
    """
    if spec != "auto":
        KINDS.build(spec)


def choose_kind(spec: str, count: int) -> str:
    """Returns the kind for a number of vectors.

    Args:
        spec: An entry of `KINDS`, with options, or `auto`.
        count: How many vectors.
    """
    if count < 2:
        return "exact"
    if spec != "auto":
        return spec
    steps = ((MOST_EXACT, "exact"), (MOST_HNSW, "hnsw"), (MOST_SQ, "ivf_sq"))
    return next((kind for most, kind in steps if count <= most), "ivf_pq")
