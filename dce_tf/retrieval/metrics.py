"""How well embeddings retrieve images of the same class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dce_tf.datasets.labels import joint_numbers
from dce_tf.retrieval.euclidean import EuclideanScorer
from dce_tf.retrieval.ranking import Keys, Ranks, Scorer, rank_blocks
from dce_tf.retrieval.vectors import Numbers, comparable

Labels = npt.NDArray[np.integer[Any]]
Values = npt.NDArray[np.float64]


def evaluate_retrieval(
    query: npt.ArrayLike,
    query_labels: npt.ArrayLike,
    gallery: npt.ArrayLike,
    gallery_labels: npt.ArrayLike,
    *,
    recall_at: Sequence[int] = (1, 2, 4, 8),
    map_at: Sequence[int] = (10,),
    leave_one_out: bool = False,
    metric: str = "cosine",
) -> dict[str, float]:
    """Searches every query in the gallery, and scores what is found.

    R is the number of gallery images of the query's class, without the query itself;
    a query with R = 0 counts as a miss in every metric. A tie counts as a
    miss, too: among images equally near but for the float32 rounding of those two
    distances, those of other classes come first, and all-zero or otherwise collapsed
    embeddings score 0. A duplicate of the query is an image like any other.

    - `recall@K`: share of the queries with one of their class among the K nearest
      (Jégou et al. 2011).
    - `precision@1`: share of the nearest images that are right; equals `recall@1`.
    - `r_precision`: share of the R nearest that are of the query's class.
    - `map@r`: 1/R · Σ over the right ones among the R nearest, at rank i, of the share
      of right ones up to i (Musgrave et al., "A metric learning reality check", 2020).
    - `map@K`: the same sum over the K nearest, times 1 / min(R, K).
    - `map`: the same sum over the whole gallery, times 1/R: average precision.

    Args:
        query: Real numbers of any dtype, `(num_queries, dim)`.
        query_labels: Integers of any width, `(num_queries,)` or `(num_queries, 1)`;
            floats must be whole, and small enough to be exact.
        gallery: Real numbers `(num_gallery, dim)`.
        gallery_labels: `(num_gallery,)` or `(num_gallery, 1)`, numbered like the
            queries'.
        recall_at: The K of recall@K.
        map_at: The K of mAP@K.
        leave_one_out: Whether query and gallery are the same images, each searched
            among all others.
        metric: `"cosine"`, as `index`, `search` and `serve` compare, or `"euclidean"`.
            The two rank alike where all vectors are equally long.

    Returns:
        The means over all queries, each 0 to 1.

    Raises:
        UsageError: If the metric is unknown.
        ValueError: If embeddings or labels are not as above or not equally many, an
            embedding is not finite, a K is below 1, or no query has an image of its
            class in the gallery.
    """
    own, others = joint_numbers({"query": query_labels, "gallery": gallery_labels})
    mine = comparable(query, metric, "query")
    theirs = mine if gallery is query else comparable(gallery, metric, "gallery")
    _check("query", mine, own)
    _check("gallery", theirs, others)
    if leave_one_out and not np.array_equal(own, others):
        raise ValueError(
            "leave_one_out searches images among themselves: query and gallery must "
            f"be the same; received {len(mine)} and {len(theirs)} images"
            f"{', of other labels' if len(mine) == len(theirs) else ''}."
        )
    rows = np.arange(len(mine)) if leave_one_out else None
    values = score_queries(
        EuclideanScorer(mine, theirs),
        own,
        others,
        recall_at=recall_at,
        map_at=map_at,
        query_keys=rows,
        gallery_keys=rows,
    )
    return mean_scores(values)


def mean_scores(values: Mapping[str, Values]) -> dict[str, float]:
    """Returns the mean of each metric over the queries."""
    return {name: float(value.mean()) for name, value in values.items()}


def score_queries(
    scorer: Scorer,
    query_labels: Labels,
    gallery_labels: Labels,
    *,
    recall_at: Sequence[int],
    map_at: Sequence[int],
    query_keys: Keys | None = None,
    gallery_keys: Keys | None = None,
) -> dict[str, Values]:
    """Scores each query by itself; the metrics are those of `evaluate_retrieval`.

    Args:
        scorer: Says what is near.
        query_labels: Integers `(num_queries,)`.
        gallery_labels: Integers `(num_gallery,)`.
        recall_at: The K of recall@K.
        map_at: The K of mAP@K.
        query_keys: What not to find: see `rank_blocks`.
        gallery_keys: The same of the gallery.

    Returns:
        float64 `(num_queries,)`, 0 to 1, by metric.

    Raises:
        ValueError: If a K is below 1, there is none of recall@K, or no query has an
            image of its class to find.
    """
    if min(recall_at, default=0) < 1 or min(map_at, default=1) < 1:
        raise ValueError(
            "Each K of recall_at and map_at must be 1 or more; received "
            f"{recall_at} and {map_at}."
        )
    values: dict[str, Values] = {}
    num_relevant = 0
    for block in rank_blocks(
        scorer,
        query_labels,
        gallery_labels,
        query_keys=query_keys,
        gallery_keys=gallery_keys,
    ):
        num_relevant += int(block.relevant.sum())
        for name, value in _scores(block, recall_at, map_at).items():
            everything = values.setdefault(name, np.zeros(len(query_labels)))
            everything[block.rows] = value
    if not num_relevant:
        raise ValueError(
            f"None of {len(query_labels)} queries has an image of its class to find "
            f"among {len(gallery_labels)}: every score would be 0. Queries have labels "
            f"such as {query_labels[0]}, the gallery such as {gallery_labels[0]}. "
            "Correct the labels, or what is left out of the search."
        )
    return values


def _scores(
    block: Ranks, recall_at: Sequence[int], map_at: Sequence[int]
) -> dict[str, Values]:
    _, ranks, relevant = block
    first, most = ranks[:, 0], np.maximum(relevant, 1)
    # At the j-th right one, j of the images so far are right.
    precision = np.arange(1, ranks.shape[1] + 1) / ranks

    def average_precision(cut: npt.NDArray[np.int64]) -> Values:
        counted = np.where(ranks <= cut[:, None], precision, 0)
        total: Values = counted.sum(axis=1) / np.minimum(most, cut)
        return total

    everything = np.full(len(relevant), np.iinfo(np.int64).max - 1)
    return {
        **{f"recall@{k}": (first <= k).astype(float) for k in recall_at},
        "precision@1": (first == 1).astype(float),
        "map@r": average_precision(most),
        "r_precision": (ranks <= most[:, None]).sum(axis=1) / most,
        **{
            f"map@{k}": average_precision(np.full(len(relevant), k, np.int64))
            for k in map_at
        },
        "map": average_precision(everything),
    }


def _check(name: str, embeddings: Numbers, labels: Labels) -> None:
    if len(embeddings) != len(labels):
        raise ValueError(
            f"The {name} must be one or more embeddings with a label each; received "
            f"{len(embeddings)} embeddings and {len(labels)} labels."
        )
