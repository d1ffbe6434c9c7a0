"""Scoring a search as its protocol says: what is searched for, where, and what not."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from dce_tf.datasets import Images, Search
from dce_tf.errors import UsageError
from dce_tf.retrieval.intervals import Interval, bootstrap_intervals
from dce_tf.retrieval.metrics import Labels, Values, mean_scores, score_queries
from dce_tf.retrieval.ranking import Embeddings, EuclideanScorer, Keys, Rows
from dce_tf.retrieval.rerankers import Reranker

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
        return bootstrap_intervals(self.values, self.labels)


def score_search(
    search: Search,
    query: Embeddings,
    gallery: Embeddings,
    *,
    recall_at: Sequence[int],
    map_at: Sequence[int] = (10,),
    exclude: str = "none",
    rerank: Reranker | None = None,
    seed: int = 0,
) -> SearchScores:
    """Searches each query in the gallery, and scores what is found.

    Args:
        search: The images and the protocol.
        query: Embeddings of its queries, float32 `(num_queries, dim)`.
        gallery: Embeddings of its gallery; `query` itself where those are the same.
        recall_at: The K of recall@K.
        map_at: The K of mAP@K.
        exclude: What a query is not to find, as if it were not in the gallery:
            `"none"`, but for itself; `"same_image"`, whatever has its group, such as
            other crops of its photograph; `"same_camera"`, what has its group and its
            class (as on Market-1501, Zheng et al., ICCV 2015).
        rerank: Orders the gallery anew; by default Euclidean distance does.
        seed: Decides the galleries of a protocol that draws them.

    Returns:
        The scores of all queries; of each gallery drawn, one after the other.

    Raises:
        UsageError: If `exclude` is unknown, or needs groups and there are none.
        ValueError: If an embedding is not finite, or no query is left.
    """
    query_keys, gallery_keys = _keys(search, exclude)
    parts: list[dict[str, Values]] = []
    labels: list[Labels] = []
    for rows, others in _draws(search, seed):
        mine, theirs = query[rows], gallery[others]
        same = search.leave_one_out and not search.num_galleries
        scorer = rerank(mine, theirs, same) if rerank else EuclideanScorer(mine, theirs)
        labels.append(search.query.labels[rows])
        parts.append(
            score_queries(
                scorer,
                labels[-1],
                search.gallery.labels[others],
                recall_at=recall_at,
                map_at=map_at,
                query_keys=query_keys[rows],
                gallery_keys=gallery_keys[others],
            )
        )
    values = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return SearchScores(values, np.concatenate(labels))


def _draws(search: Search, seed: int) -> Iterator[tuple[Rows | slice, Rows | slice]]:
    """Yields the rows that are queries and those that are the gallery."""
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


def _keys(search: Search, exclude: str) -> tuple[Keys, Keys]:
    """Returns a key of each query and gallery image; what has the query's is hidden."""
    if exclude not in EXCLUSIONS:
        raise UsageError(f"--exclude={exclude} is not one of {', '.join(EXCLUSIONS)}.")
    both = (search.query, search.gallery)
    if exclude == "none":
        first, second = (np.arange(len(images)) for images in both)
        return first, second if search.leave_one_out else -1 - second
    groups = [_groups(images, exclude) for images in both]
    if exclude == "same_camera":
        wide = 1 + max(int(images.labels.max()) for images in both)
        groups = [
            np.where(group < 0, group, group * wide + images.labels)
            for group, images in zip(groups, both, strict=True)
        ]
    # Images without a group hide nobody but, among themselves, the query.
    apart = 0 if search.leave_one_out else len(search.query)
    rows = np.arange(len(search.gallery)) + apart
    return (
        np.where(groups[0] < 0, -1 - np.arange(len(search.query)), groups[0]),
        np.where(groups[1] < 0, -1 - rows, groups[1]),
    )


def _groups(images: Images, exclude: str) -> Keys:
    if images.groups is None:
        raise UsageError(
            f"--exclude={exclude} goes by the group of an image, and the data set has "
            "none. Give a group column in a CSV index, or --exclude=none."
        )
    return images.groups.astype(np.int64)
