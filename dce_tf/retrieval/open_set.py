"""Answers from a gallery of known classes, where "none of these" may be right."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dce_tf.retrieval.euclidean import EuclideanScorer
from dce_tf.retrieval.metrics import Labels, Values
from dce_tf.retrieval.vectors import Embeddings

UNKNOWN = -1
"""The label of what shows no known class."""

_BLOCK_SCORES = 2**24


class NearestClasses(NamedTuple):
    """The classes nearest to each query, by their nearest image.

    Attributes:
        classes: int32 `(num_queries, count)`, nearest first; −1 where there are fewer.
        distances: Squared Euclidean distances, float32, same shape; ∞ for −1.
    """

    classes: Labels
    distances: Embeddings


def find_classes(
    query: Embeddings,
    gallery: Embeddings,
    gallery_labels: Labels,
    count: int,
    *,
    exclude_self: bool = False,
) -> NearestClasses:
    """Finds the classes nearest to each query, exactly.

    Args:
        query: float32 `(num_queries, dim)`.
        gallery: float32 `(num_gallery, dim)`.
        gallery_labels: int32 `(num_gallery,)`.
        count: How many classes.
        exclude_self: Whether query i is gallery image i and must not find itself.

    Raises:
        ValueError: If an embedding is not finite, or the gallery is empty.
    """
    if not len(gallery):
        raise ValueError("The gallery is empty: there is no class to find.")
    scorer = EuclideanScorer(query, gallery)
    order = np.argsort(gallery_labels, kind="stable")
    names, starts = np.unique(gallery_labels[order], return_index=True)
    classes = np.full((len(query), count), UNKNOWN, np.int32)
    distances = np.full((len(query), count), np.inf, np.float32)
    size = max(1, _BLOCK_SCORES // len(gallery))
    kept = min(count, len(names))
    for start in range(0, len(query), size):
        rows = np.arange(start, min(start + size, len(query)))
        squared = scorer.squared_distances(rows)
        if exclude_self:
            squared[np.arange(len(rows)), rows] = np.inf
        best = np.minimum.reduceat(squared[:, order], starts, axis=1)
        nearest = np.argsort(best, axis=1, kind="stable")[:, :kept]
        squared = np.take_along_axis(best, nearest, axis=1)
        there = squared < np.inf
        classes[rows, :kept] = np.where(there, names[nearest], UNKNOWN)
        distances[rows, :kept] = squared
    return NearestClasses(classes, distances)


def answers(found: NearestClasses, threshold: float) -> Labels:
    """Puts "none of these" before the first class that is too far.

    Args:
        found: The nearest classes.
        threshold: Squared distance beyond which a class is no better an answer.

    Returns:
        int32 `(num_queries, count)`: classes, and `UNKNOWN` once if it has a place.
    """
    place = np.count_nonzero(found.distances <= threshold, axis=1)[:, None]
    column = np.arange(found.classes.shape[1])
    shifted = np.roll(found.classes, 1, axis=1)
    return np.where(
        column < place,
        found.classes,
        np.where(column == place, np.int32(UNKNOWN), shifted),
    ).astype(np.int32)


def score_answers(found: NearestClasses, labels: Labels, threshold: float) -> Values:
    """Scores as Kaggle does: 1 / the place of the right answer, 0 if it is not there.

    That is mAP@K for one right answer a query and K answers.

    Args:
        found: The nearest classes.
        labels: int32 `(num_queries,)`; `UNKNOWN` for what shows no known class.
        threshold: As of `answers`.

    Returns:
        float64 `(num_queries,)`, 0 to 1.
    """
    given = answers(found, threshold)
    right = given == labels[:, None]
    # A class that is not there is −1 too, but stands behind "none of these".
    first = right.argmax(axis=1)
    values: Values = right.any(axis=1) / (1.0 + first)
    return values


def choose_threshold(
    found: NearestClasses, labels: Labels, unknown_share: float
) -> float:
    """Chooses the threshold with the highest mean score.

    Args:
        found: The nearest classes of images that are not tested on.
        labels: As of `score_answers`.
        unknown_share: How many of the queries to come show no known class, 0 to 1; the
            images here are weighed accordingly.

    Returns:
        The squared distance: the middle of the first best gap between two.

    Raises:
        ValueError: If there are only known or only unknown ones.
    """
    unknown = labels == UNKNOWN
    if unknown.all() or not unknown.any():
        raise ValueError(
            "A threshold needs images of known classes and images of none; received "
            f"{np.count_nonzero(~unknown)} and {np.count_nonzero(unknown)}."
        )
    count = found.classes.shape[1]
    place = np.arange(1, count + 1)
    here = 1 / place
    behind = np.where(place < count, 1 / (place + 1), 0)
    right = (found.classes == labels[:, None]) & ~unknown[:, None]
    # As the threshold passes the class at a place, what the query scores changes: the
    # class moves up if it is the right one, "none of these" down if that is.
    gain = np.where(unknown[:, None], behind - here, right * (here - behind))
    weight = np.where(
        unknown,
        unknown_share / np.count_nonzero(unknown),
        (1 - unknown_share) / np.count_nonzero(~unknown),
    )
    gain = gain * weight[:, None]
    finite = np.isfinite(found.distances)
    values, step = np.unique(found.distances[finite], return_inverse=True)
    total = np.concatenate([[0.0], np.bincount(step, gain[finite]).cumsum()])
    # Sums that differ by rounding only are equal.
    best = np.flatnonzero(total >= total.max() - 1e-12)[0]
    bounds = np.concatenate([[-1.0], values, values[-1:]])
    return float((bounds[best] + bounds[best + 1]) / 2)
