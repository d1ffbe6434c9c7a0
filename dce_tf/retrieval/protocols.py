"""Scoring a search as its protocol says: what is searched for, where, and what not."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from dce_tf.base.errors import UsageError
from dce_tf.datasets import Images, Search
from dce_tf.retrieval.euclidean import EuclideanScorer
from dce_tf.retrieval.intervals import Interval, class_intervals
from dce_tf.retrieval.metrics import Labels, Values, mean_scores, score_queries
from dce_tf.retrieval.ranking import Keys, Rows, Scorer
from dce_tf.retrieval.rerankers import Asked, Reranker
from dce_tf.retrieval.vectors import Numbers, comparable

EXCLUSIONS = ("none", "same_image", "same_camera")


@dataclasses.dataclass(frozen=True, eq=False)
class SearchScores:
    """What a search scored, query by query.

    Attributes:
        values: float64 `(num_queries,)`, 0 to 1, by metric.
        labels: Class of each query, int32 `(num_queries,)`.
    """

    values: dict[str, Values]
    labels: Labels

    @property
    def means(self) -> dict[str, float]:
        """The mean of each metric."""
        return mean_scores(self.values)

    @property
    def intervals(self) -> dict[str, Interval]:
        """The 95 % interval of each mean, over classes."""
        return class_intervals(self.values, self.labels)


def score_search(
    search: Search,
    query: Numbers,
    gallery: Numbers,
    *,
    recall_at: Sequence[int],
    map_at: Sequence[int] = (10,),
    exclude: str = "none",
    rerank: Reranker | None = None,
    seed: int = 0,
    metric: str = "cosine",
) -> SearchScores:
    """Searches each query in the gallery, and scores what is found.

    Args:
        search: The images and the protocol.
        query: Embeddings of its queries, real numbers `(num_queries, dim)`.
        gallery: Embeddings of its gallery; `query` itself where those are the same.
        recall_at: The K of recall@K.
        map_at: The K of mAP@K.
        exclude: What a query is not to find, as if it were not in the gallery:
            `"none"`, but for itself; `"same_image"`, images of its group, such as
            other crops of its photograph; `"same_camera"`, images of its group and
            class (as on Market-1501, Zheng et al., ICCV 2015).
        rerank: Orders the gallery again, going by the same metric.
        seed: Decides the galleries of a protocol that draws them.
        metric: See `evaluate_retrieval`.

    Returns:
        The scores of all queries; of each gallery drawn, one after the other.

    Raises:
        UsageError: If `exclude` or `metric` is unknown, or `exclude` needs groups and
            there are none.
        ValueError: If one is no embedding, no query is left, or none has an image of
            its class to find.
    """
    mine = comparable(query, metric, "query")
    theirs = mine if gallery is query else comparable(gallery, metric, "gallery")
    query_keys, gallery_keys = exclusion_keys(search, exclude)
    parts: list[dict[str, Values]] = []
    labels: list[Labels] = []
    same = search.leave_one_out and not search.num_galleries
    for rows, others in drawn_parts(search, seed):
        asked, there = mine[rows], theirs[others]
        if same:
            asked = there
        keys = query_keys[rows], gallery_keys[others]
        if rerank is None:
            scorer: Scorer = EuclideanScorer(asked, there)
        else:
            scorer = rerank(Asked(asked, there, same, rows, others, keys))
        labels.append(search.query.labels[rows])
        parts.append(
            score_queries(
                scorer,
                labels[-1],
                search.gallery.labels[others],
                recall_at=recall_at,
                map_at=map_at,
                query_keys=keys[0],
                gallery_keys=keys[1],
            )
        )
    values = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return SearchScores(values, np.concatenate(labels))


def drawn_parts(
    search: Search, seed: int
) -> Iterator[tuple[Rows | slice, Rows | slice]]:
    """Yields the rows that are queries and those that are the gallery.

    Args:
        search: The images and the protocol.
        seed: Decides what is drawn, where the protocol draws.

    Raises:
        ValueError: If no query is left.
    """
    if not search.num_galleries:
        yield slice(None), slice(None)
    labels = search.query.labels
    for draw in range(search.num_galleries):
        order = np.random.default_rng([seed, draw]).permutation(len(labels))
        gallery = order[np.unique(labels[order], return_index=True)[1]]
        queries = np.setdiff1d(order, gallery)
        if not len(queries):
            raise ValueError(
                f"The search {search.name!r} takes one image of each class as gallery, "
                "which leaves no query: each class has one image."
            )
        yield queries, gallery


def exclusion_keys(search: Search, exclude: str) -> tuple[Keys, Keys]:
    """Returns a key per query and gallery image; those with the query's are hidden.

    Args:
        search: The images and the protocol.
        exclude: What a query is not to find: see `score_search`.

    Returns:
        int64 `(num_queries,)` and `(num_gallery,)`.

    Raises:
        UsageError: If `exclude` is unknown, or needs groups and there are none.
    """
    if exclude not in EXCLUSIONS:
        raise UsageError(f"--exclude={exclude} is not one of {', '.join(EXCLUSIONS)}.")
    both = (search.query, search.gallery)
    first, second = _own_keys(search)
    if exclude == "none":
        return first, second
    groups = [_groups(images, exclude) for images in both]
    if exclude == "same_camera":
        wide = 1 + max(int(images.labels.max()) for images in both)
        groups = [
            np.where(group < 0, group, group * wide + images.labels)
            for group, images in zip(groups, both, strict=True)
        ]
    # Images without a group hide nobody but, where it is there, the query itself.
    return (
        np.where(groups[0] < 0, -1 - first, groups[0]),
        np.where(groups[1] < 0, -1 - second, groups[1]),
    )


def _own_keys(search: Search) -> tuple[Keys, Keys]:
    """Returns a key of 0 or more per image; a query has that of itself only."""
    first = np.arange(len(search.query))
    second = np.arange(len(search.gallery)) + len(search.query)
    there = np.flatnonzero(search.own_rows >= 0)
    second[search.own_rows[there]] = there
    return first, second


def _groups(images: Images, exclude: str) -> Keys:
    if images.groups is None:
        raise UsageError(
            f"--exclude={exclude} goes by the group of an image, and the data set has "
            "none. Give a group column in a CSV index, or --exclude=none."
        )
    return images.groups.astype(np.int64)
