"""Embeddings, checked and made comparable before they are searched."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dce_tf.base.errors import UsageError

Embeddings = npt.NDArray[np.float32]
Numbers = npt.NDArray[Any]  # Embeddings as a caller has them, of any real dtype.

METRICS = ("cosine", "euclidean")

# Lengths that differ from 1 by less do so by rounding.
_UNIT = 2.0**-20

_EQUAL = 1.01  # Lengths of a larger ratio are reported.

# Beyond these, squares leave the range of float32.
_SMALLEST, _LARGEST = 1e-15, 1e15

_SAMPLE = 1024  # Rows that say where the middle of all is.
_FAR = 16  # This many times the spread, squared, the middle must be from 0 to matter.
_BLOCK = 2**14  # Rows that are converted at once.


def check_vectors(embeddings: npt.ArrayLike, name: str) -> Numbers:
    """Returns embeddings as an array that can be searched.

    Args:
        embeddings: Numbers `(num_images, dim)`.
        name: What they are, for an error: `"query"` or `"gallery"`.

    Returns:
        The same numbers, in their own dtype.

    Raises:
        ValueError: If they are no real numbers, not of that shape, there are none, or
            one is not finite.
    """
    array = np.asarray(embeddings)
    real = np.issubdtype(array.dtype, np.integer) or np.issubdtype(
        array.dtype, np.floating
    )
    if not real or array.ndim != 2 or not array.size:
        raise ValueError(
            f"The {name} must be one or more embeddings, real numbers of shape "
            f"(num_images, embedding_dim); received {array.dtype} of shape "
            f"{array.shape}."
        )
    bad = np.flatnonzero(~_are_finite(array))
    if len(bad):
        raise ValueError(
            f"{len(bad)} of {len(array)} {name} embeddings are not finite, the first "
            f"in row {bad[0]} (from 0), so they have no neighbours. If a model made "
            "them, its training has diverged: lower the learning rates."
        )
    return array


def _are_finite(array: Numbers) -> npt.NDArray[np.bool_]:
    # The sum of a row is finite unless a number is not, or it overflows.
    with np.errstate(over="ignore", invalid="ignore"):
        finite = np.isfinite(array.sum(axis=1))
    if not finite.all():
        finite[~finite] = np.isfinite(array[~finite]).all(axis=1)
    return finite


def comparable(embeddings: npt.ArrayLike, metric: str, name: str) -> Numbers:
    """Returns vectors whose Euclidean distances rank as a metric does.

    Args:
        embeddings: Numbers `(num_images, dim)`.
        metric: `"cosine"`: each is scaled to length 1, as `index`, `search` and
            `serve` do; one that is all zero stays so, as far from every other.
            `"euclidean"`: as they are.
        name: What they are, for an error.

    Returns:
        The same array where there is nothing to change, else float32.

    Raises:
        UsageError: If the metric is unknown.
        ValueError: As `check_vectors`; for `"euclidean"` also if the numbers are too
            large or too small to be squared in float32.
    """
    if metric not in METRICS:
        raise UsageError(f"metric={metric!r} is not one of {', '.join(METRICS)}.")
    array = check_vectors(embeddings, name)
    if metric == "euclidean":
        return _in_range(array, name)
    lengths = vector_lengths(array)
    if array.dtype == np.float32 and np.all(np.abs(lengths - 1) < _UNIT):
        return array
    result = np.empty(array.shape, np.float32)
    for start in range(0, len(array), _BLOCK):
        part = slice(start, start + _BLOCK)
        # Scaled twice, so that no square leaves the range of float64.
        rows = array[part].astype(np.float64)
        largest = np.abs(rows).max(axis=1, keepdims=True)
        rows /= np.where(largest > 0, largest, 1)
        length = np.linalg.norm(rows, axis=1, keepdims=True)
        result[part] = rows / np.where(length > 0, length, 1)
    return result


def vector_lengths(embeddings: Numbers) -> npt.NDArray[np.float64]:
    """Returns the length of each vector, `(num_images,)`."""
    lengths = np.empty(len(embeddings))
    for start in range(0, len(embeddings), _BLOCK):
        rows = embeddings[start : start + _BLOCK].astype(np.float64)
        lengths[start : start + _BLOCK] = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    return lengths


def describe_lengths(query: Numbers, gallery: Numbers, metric: str) -> tuple[str, ...]:
    """Says what the lengths of embeddings mean for a comparison.

    Args:
        query: Numbers `(num_queries, dim)`.
        gallery: Numbers `(num_gallery, dim)`.
        metric: How they were compared.

    Returns:
        Nothing where all are equally long and not zero; else a sentence for each fact.
    """
    lengths = vector_lengths(query)
    if gallery is not query:
        lengths = np.concatenate([lengths, vector_lengths(gallery)])
    some = lengths[lengths > 0]
    notes = []
    if len(some) < len(lengths):
        notes.append(
            f"{len(lengths) - len(some)} of {len(lengths)} embeddings are all zero: "
            "they point nowhere, and whatever made them has failed for these images."
        )
    if len(some) and some.max() > _EQUAL * some.min():
        used = "cosine, as `index`, `search` and `serve` compare"
        if metric == "euclidean":
            used = "Euclidean distance; `index`, `search` and `serve` go by the cosine"
        other = next(each for each in METRICS if each != metric)
        notes.append(
            f"The embeddings are of lengths from {some.min():.3g} to "
            f"{some.max():.3g}. They were compared by {used}: --metric={other} ranks "
            "such vectors otherwise."
        )
    return tuple(notes)


def _in_range(array: Numbers, name: str) -> Numbers:
    largest = float(max(array.max(), -array.min().astype(np.float64)))
    if largest == 0 or _SMALLEST <= largest <= _LARGEST:
        return array
    raise ValueError(
        f"The largest number of the {name} embeddings is {largest:.3g}; expected one "
        f"from {_SMALLEST:g} to {_LARGEST:g}, as squared distances of others leave the "
        "range of float32. Multiply all embeddings by one number, or compare them by "
        "cosine."
    )


def centred(query: Numbers, gallery: Numbers) -> tuple[Embeddings, Embeddings]:
    """Returns both as float32, moved so that the gallery lies around 0 if it is far.

    The rounding of a distance grows with the distance from 0, so an offset common to
    all would hide what tells them apart. Moving all by the same leaves every Euclidean
    distance as it is. The middle is the median of each coordinate: a few very long
    vectors do not shift it.

    Args:
        query: Numbers `(num_queries, dim)`, checked.
        gallery: Numbers `(num_gallery, dim)`, checked.

    Returns:
        Contiguous float32 arrays; the same one twice where `query` is `gallery`.

    Raises:
        ValueError: If the two are of different widths.
    """
    if query.shape[1] != gallery.shape[1]:
        raise ValueError(
            f"Query and gallery must be embeddings of one width; received "
            f"{query.shape[1]} and {gallery.shape[1]} numbers each."
        )
    centre = _middle(gallery)
    moved = _moved(gallery, centre)
    return (moved if query is gallery else _moved(query, centre)), moved


def _middle(gallery: Numbers) -> npt.NDArray[np.float64] | None:
    """Returns the middle of all, or None if it is near 0."""
    rows = gallery[:: -(-len(gallery) // _SAMPLE)].astype(np.float64)
    centre: npt.NDArray[np.float64] = np.median(rows, axis=0)
    size, spread = (
        np.median(np.einsum("ij,ij->i", each, each)) for each in (rows, rows - centre)
    )
    return centre if _FAR * spread < size else None


def _moved(array: Numbers, centre: npt.NDArray[np.float64] | None) -> Embeddings:
    if centre is None:
        return np.ascontiguousarray(array, np.float32)
    result = np.empty(array.shape, np.float32)
    for start in range(0, len(array), _BLOCK):
        part = slice(start, start + _BLOCK)
        result[part] = array[part] - centre
    return result
