"""Scoring what embeds on a split."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from dce_tf.datasets import Images, Search
from dce_tf.reports.display import Display
from dce_tf.retrieval import SearchScores, score_grouping, score_search
from dce_tf.retrieval.intervals import Interval, describe_few
from dce_tf.retrieval.metrics import mean_scores
from dce_tf.retrieval.rerankers import Reranker
from dce_tf.retrieval.vectors import comparable, describe_lengths

Embeddings = npt.NDArray[np.float32]


class Embedder(Protocol):
    """What turns image files into embeddings."""

    def embeddings(
        self, paths: Sequence[str], on_batch: Callable[[int], None] = lambda _: None
    ) -> Embeddings:
        """Returns embeddings, float32 `(num_images, embedding_dim)`.

        Args:
            paths: The image files.
            on_batch: Told after each batch how many images are done.
        """


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluation:
    """What a model scored in one search.

    Attributes:
        search: The images and the protocol.
        retrieval: What was found, query by query.
        grouping: `nmi`, `ami` and `f1` of each k-means; empty where none was made.
        query: Embeddings of the queries, `(num_queries, embedding_dim)`, as they were
            compared: for `"cosine"` of unit length.
        gallery: Embeddings of the gallery, the same way.
        metric: How they were compared: see `retrieval.evaluate_retrieval`.
        notes: What a reader of the scores should know, a sentence each.
    """

    search: Search
    retrieval: SearchScores
    grouping: dict[str, npt.NDArray[np.float64]]
    query: Embeddings
    gallery: Embeddings
    metric: str = "cosine"
    notes: tuple[str, ...] = ()

    @property
    def scores(self) -> dict[str, float]:
        """The mean of every metric, 0 to 1."""
        means = {name: float(runs.mean()) for name, runs in self.grouping.items()}
        return {**self.retrieval.means, **means}

    @property
    def intervals(self) -> dict[str, Interval]:
        """The 95 % interval of each retrieval metric, over classes."""
        return self.retrieval.intervals

    @property
    def deviations(self) -> dict[str, float]:
        """The standard deviation of each grouping metric, if k-means ran repeatedly."""
        return {
            name: float(runs.std(ddof=1))
            for name, runs in self.grouping.items()
            if len(runs) > 1
        }

    @property
    def mean_distance(self) -> float:
        """How far two images of the gallery lie apart: the root of the mean square."""
        centre = self.gallery.mean(axis=0, dtype=np.float64)
        square = np.square(self.gallery, dtype=np.float64).sum(axis=1).mean()
        return float(np.sqrt(max(0.0, 2 * (square - centre @ centre))))

    @property
    def by_source(self) -> dict[str, dict[str, float]]:
        """The retrieval metrics of the queries of each source, in a united search."""
        owners = self.search.query.sources
        if not self.search.is_union or owners is None:
            return {}
        return {
            name: mean_scores(
                {
                    key: each[owners == number]
                    for key, each in self.retrieval.values.items()
                }
            )
            for number, name in enumerate(self.search.united)
            if np.any(owners == number)
        }

    def as_json(self) -> dict[str, Any]:
        """Returns what reports store."""
        return {
            **({"by_source": self.by_source} if self.search.is_union else {}),
            "queries": len(self.retrieval.labels),
            "gallery": len(self.search.gallery),
            "scores": self.scores,
            "intervals": {name: list(ends) for name, ends in self.intervals.items()},
            "deviations": self.deviations,
            "metric": self.metric,
            "notes": list(self.notes),
        }


class Evaluator:
    """Embeds the images of a search and measures what is found.

    Args:
        embedder: Runs the model.
        recall_at: The K of recall@K.
        map_at: The K of mAP@K.
        exclude: What a query is not to find: see `retrieval.score_search`.
        metric: How embeddings are compared: see `retrieval.evaluate_retrieval`.
        nmi_runs: How often k-means looks for the classes; 0 leaves it out.
        backend: Where FAISS works: `"auto"`, `"faiss"` or `"faiss-gpu"`.
        seed: Decides where k-means starts.
        display: Shows how far the embedding is.
    """

    def __init__(
        self,
        embedder: Embedder,
        recall_at: Sequence[int],
        *,
        map_at: Sequence[int] = (10,),
        exclude: str = "none",
        metric: str = "cosine",
        nmi_runs: int = 1,
        backend: str = "auto",
        seed: int = 0,
        display: Display | None = None,
    ) -> None:
        self._embedder = embedder
        self._measured: dict[str, Any] = {
            "recall_at": tuple(recall_at),
            "map_at": tuple(map_at),
            "exclude": exclude,
            "seed": seed,
            "metric": metric,
        }
        self._metric = metric
        self._nmi_runs = nmi_runs
        self._backend = backend
        self._seed = seed
        self._display = display or Display()

    def evaluate(
        self,
        searches: Sequence[Search],
        name: str = "evaluation",
        ungrouped: Sequence[Search] = (),
    ) -> list[Evaluation]:
        """Scores searches; an image that is in several is embedded once.

        Args:
            searches: What to score.
            name: What the display calls it.
            ungrouped: Further searches, whose classes k-means does not look for.

        Returns:
            What each scored.
        """
        every = [*searches, *ungrouped]
        parts = [part for search in every for part in (search.query, search.gallery)]
        paths = list(dict.fromkeys(path for part in parts for path in part.paths))
        embeddings = self.embed(paths, name)
        number = {path: row for row, path in enumerate(paths)}

        def part_of(images: Images) -> Embeddings:
            if len(images) == len(paths) and list(images.paths) == paths:
                return embeddings
            return embeddings[[number[path] for path in images.paths]]

        evaluations = []
        for place, search in enumerate(every):
            query = part_of(search.query)
            gallery = query if search.leave_one_out else part_of(search.gallery)
            grouped = place < len(searches)
            evaluations.append(self.measure(search, query, gallery, grouped=grouped))
        return evaluations

    def embed(self, paths: Sequence[str], name: str) -> Embeddings:
        """Embeds images.

        Args:
            paths: The image files.
            name: What the display calls it.

        Returns:
            float32 `(num_images, embedding_dim)`.
        """
        with self._display.task(name, len(paths)) as update:
            return self._embedder.embeddings(paths, lambda done: update(done, ""))

    def measure(
        self,
        search: Search,
        query: Embeddings,
        gallery: Embeddings,
        rerank: Reranker | None = None,
        *,
        grouped: bool = True,
    ) -> Evaluation:
        """Scores a search whose images are embedded already.

        Args:
            search: What to score.
            query: Embeddings of its queries, real numbers `(num_queries,
                embedding_dim)`.
            gallery: Embeddings of its gallery.
            rerank: Orders the gallery again; k-means is then left out.
            grouped: Whether k-means looks for the classes, if it is wanted at all.
        """
        notes = describe_lengths(query, gallery, self._metric)
        one = gallery is query
        query = comparable(query, self._metric, "query")
        gallery = query if one else comparable(gallery, self._metric, "gallery")
        scores = score_search(search, query, gallery, rerank=rerank, **self._measured)
        notes += describe_few(scores.labels)
        grouping = {}
        grouped = grouped and not rerank and not search.num_galleries
        if self._nmi_runs and grouped:
            everything, labels = gallery, search.gallery.labels
            if not search.leave_one_out:
                apart = search.own_rows < 0
                everything = np.concatenate([query[apart], gallery])
                labels = np.concatenate([search.query.labels[apart], labels])
            grouping = score_grouping(
                everything,
                labels,
                num_runs=self._nmi_runs,
                seed=self._seed,
                backend=self._backend,
            )
        return Evaluation(search, scores, grouping, query, gallery, self._metric, notes)
