"""What the test scores, and what it would without the images it should not have."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dce_tf.datasets import Images, Search, Splits
from dce_tf.doctor.duplicates import Copies
from dce_tf.doctor.nearest import Vectors
from dce_tf.doctor.population import Population
from dce_tf.retrieval import score_search

_MOST_SCORED = 20_000  # Images of a test; of a larger one whole classes are drawn.

Mask = npt.NDArray[np.bool_]

AS_IT_IS = "as it is"
NO_LEAKS = "without leaked images"
NO_COPIES = "without any copies"


def score_leaks(
    splits: Splits,
    population: Population,
    vectors: Vectors,
    copies: Copies,
    *,
    exclude: str = "none",
    seed: int = 0,
) -> dict[str, Any]:
    """Scores the first test with and without its leaked images.

    Without leaked images: no image of the test that is also in another split, but for
    the gallery's own copies of queries, of which the query goes. Without any copies: of
    each picture one more within the test. A query whose class is left with nothing to
    find goes, too. Of a test of more than 20,000 images whole classes are scored.

    Args:
        splits: The data set.
        population: Its images.
        vectors: Their embeddings, of unit length, float32 `(num_images, dim)`.
        copies: Which images are copies of each other.
        exclude: What a query is not to find: see `score_search`.
        seed: Decides the galleries of a protocol that draws them.

    Returns:
        JSON values by `AS_IT_IS`, `NO_LEAKS` and `NO_COPIES`: `queries`, `gallery`,
        two counts, and `scores`; without the last two where nothing is copied, and
        empty where there is no test that can be scored.
    """
    if not splits.tests:
        return {}
    search = splits.tests[0].of_classes(_MOST_SCORED, seed)
    leaked = leaked_rows(population, copies)
    copied = copied_rows(population, copies)
    wanted = {AS_IT_IS: np.zeros(len(population), bool)}
    if leaked.any():
        wanted[NO_LEAKS] = leaked
    if (copied & ~leaked).any():
        wanted[NO_COPIES] = copied | leaked
    scored: dict[str, Any] = {}
    for name, gone in wanted.items():
        left = _without(search, population, gone)
        query, gallery = (
            _rows(part, population) for part in (left.query, left.gallery)
        )
        if not len(query):
            continue
        mine = vectors[query]
        found = score_search(
            left,
            mine,
            mine if left.leave_one_out else vectors[gallery],
            recall_at=splits.recall_at,
            map_at=splits.map_at,
            exclude=exclude,
            seed=seed,
        )
        scored[name] = {
            "queries": len(found.labels),
            "gallery": len(gallery),
            "scores": found.means,
        }
    return scored


def leaked_rows(population: Population, copies: Copies) -> Mask:
    """Says which images of the test are not to be there, bool `(num_images,)`.

    Of a picture that is outside the test, too, all that are in it; of one that is query
    and gallery, the queries.
    """
    is_query = _in_splits(population, ("query",))
    tested = _in_splits(population, TESTED)
    outside = _reached(copies.groups, ~tested)
    in_gallery = _reached(copies.groups, _in_splits(population, ("gallery",)))
    return (tested & outside) | (is_query & in_gallery)


def copied_rows(population: Population, copies: Copies) -> Mask:
    """Says which images of the test are there before, in its part of it."""
    tested = _in_splits(population, TESTED)
    keys = copies.groups * len(population.split_names) + population.splits
    first = np.zeros(len(population), bool)
    first[np.unique(keys, return_index=True)[1]] = True
    return tested & ~first


TESTED = ("query", "gallery", "test")
"""The splits that are searched and searched in."""


def _in_splits(population: Population, names: Sequence[str]) -> Mask:
    wanted = np.array([name in names for name in population.split_names], bool)
    return wanted[population.splits]


def _reached(groups: npt.NDArray[np.int64], rows: Mask) -> Mask:
    """Says which images have a copy among some, or are among them."""
    reached = np.zeros(groups.max(initial=-1) + 1, bool)
    reached[groups[rows]] = True
    return reached[groups]


def _without(search: Search, population: Population, gone: Mask) -> Search:
    """Returns the search without images, and without queries that lose their class."""

    def left(images: Images) -> Images:
        kept = ~gone[_rows(images, population)]
        return images.keep(np.flatnonzero(kept))

    if search.leave_one_out:
        images = left(search.query)
        sizes, before = images.class_counts, search.query.class_counts
        # One that was alone from the beginning counts as a miss, as before.
        found = (sizes > 1) | (before < 2)
        images = images.keep(np.flatnonzero(found[images.labels]))
        return dataclasses.replace(search, query=images, gallery=images)
    query, gallery = left(search.query), left(search.gallery)
    lost = np.setdiff1d(search.gallery.labels, gallery.labels)
    query = query.keep(np.flatnonzero(~np.isin(query.labels, lost)))
    return dataclasses.replace(search, query=query, gallery=gallery)


def _rows(images: Images, population: Population) -> npt.NDArray[np.int64]:
    row_of = population.row_of
    return np.array([row_of[path] for path in images.paths], np.int64)
