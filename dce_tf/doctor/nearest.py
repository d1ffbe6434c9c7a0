"""The nearest images of every image, without a table of all pairs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from dce_tf.index.structures import Structure

Vectors = npt.NDArray[np.float32]

NUM_NEIGHBOURS = 20
# This many numbers are multiplied where every image is compared with every other.
_MOST_PRODUCTS = 4e12
_AT_ONCE = 8192


@dataclasses.dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest images of each, nearest first, itself not among them.

    Attributes:
        rows: int32 `(num_images, k)`.
        cosines: float32 `(num_images, k)`, falling.
    """

    rows: npt.NDArray[np.int32]
    cosines: Vectors


def find_nearest(
    vectors: Vectors,
    k: int = NUM_NEIGHBOURS,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Neighbours:
    """Finds the images nearest to each.

    Exactly, where that is not too many products; else in the lists of an inverted file
    near each image.

    Args:
        vectors: Of unit length, float32 `(num_images, dim)`; two images or more.
        k: How many; as many as there are, if those are fewer.
        on_progress: Told how many images are done.
    """
    count, dim = vectors.shape
    k = min(k, count - 1)
    is_small = float(count) ** 2 * dim <= _MOST_PRODUCTS
    spec = "exact" if is_small else "ivf_sq(probes=16, refine=2)"
    structure = Structure.build(vectors, spec)
    rows = np.empty((count, k), np.int32)
    cosines = np.empty((count, k), np.float32)
    for start in range(0, count, _AT_ONCE):
        part = slice(start, min(start + _AT_ONCE, count))
        scores, found = structure.search(vectors[part], k + 1)
        own = np.arange(part.start, part.stop)[:, None]
        other = found != own
        # Copies may push an image out of its own neighbours: the farthest goes then.
        other[other.all(axis=1), -1] = False
        rows[part] = found[other].reshape(-1, k)
        cosines[part] = scores[other].reshape(-1, k)
        on_progress(part.stop)
    return Neighbours(rows, cosines)


def pair_cosines(
    vectors: Vectors, one: npt.NDArray[np.int64], other: npt.NDArray[np.int64]
) -> Vectors:
    """Returns the cosine of each pair of rows, float32 `(num_pairs,)`.

    Args:
        vectors: Of unit length, float32 `(num_images, dim)`.
        one: A row of each pair, int64 `(num_pairs,)`.
        other: The other one.
    """
    cosines = np.empty(len(one), np.float32)
    for start in range(0, len(one), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        pair = vectors[one[part]], vectors[other[part]]
        cosines[part] = np.einsum("ij,ij->i", *pair)
    return cosines
