"""A few neighbours and distances to look at, the same queries each time."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dce_tf.base.files import replacing
from dce_tf.datasets import Images
from dce_tf.evaluation.evaluator import Evaluation
from dce_tf.record.run_directory import RunDirectory
from dce_tf.reports.neighbours_sheet import Neighbours
from dce_tf.retrieval import find_neighbours

NUM_QUERIES = 200
NUM_SHOWN = 8
NUM_NEIGHBOURS = 6
NUM_PAIRS = 5000

Rows = npt.NDArray[np.int64]
Distances = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, eq=False)
class Snapshot:
    """How the embedding space looks at one time.

    Attributes:
        queries: Rows of the query split, `(num_queries,)`.
        neighbours: Their nearest rows of the gallery, `(num_queries, k)`.
        right: Whether each neighbour is of the query's class, bool, same shape.
        positive: Distances of random pairs of one class, float32.
        negative: Distances of random pairs of two classes, float32.
    """

    queries: Rows
    neighbours: Rows
    right: npt.NDArray[np.bool_]
    positive: Distances
    negative: Distances

    def save(self, path: Path) -> None:
        """Writes the snapshot as NPZ, atomically."""
        with replacing(path) as temporary:
            np.savez_compressed(temporary, **vars(self))

    @classmethod
    def load(cls, path: Path) -> Snapshot:
        """Reads what `save` wrote."""
        with np.load(path, allow_pickle=False) as stored:
            return cls(**{name: stored[name] for name in stored.files})

    def hardest(self, query: Images, gallery: Images) -> Rows:
        """Returns which of the queries found the fewest of their class.

        A right neighbour counts the more the nearer it is. Queries whose class the
        gallery does not hold, which no embedding could answer, come last.

        Args:
            query: The query split.
            gallery: What was searched.

        Returns:
            Positions in `queries`, at most `NUM_SHOWN`, the hardest first.
        """
        labels, counts = np.unique(gallery.labels, return_counts=True)
        held = dict(zip(labels.tolist(), counts.tolist(), strict=True))
        there = set(gallery.paths)
        needed = [1 + (query.paths[row] in there) for row in self.queries]
        asked = query.labels[self.queries].tolist()
        hopeless = np.array(
            [held.get(label, 0) < n for label, n in zip(asked, needed, strict=True)]
        )
        weights = 1 / np.arange(1, self.right.shape[1] + 1)
        found = self.right @ weights
        return np.lexsort((found, hopeless))[:NUM_SHOWN]

    def neighbours_in(self, query: Images, gallery: Images, shown: Rows) -> Neighbours:
        """Returns the files behind some of the rows, for a picture of them.

        Args:
            query: The query split.
            gallery: What was searched.
            shown: Positions in `queries`.
        """
        return Neighbours(
            tuple(query.paths[row] for row in self.queries[shown]),
            tuple(
                tuple(gallery.paths[row] for row in rows)
                for rows in self.neighbours[shown]
            ),
            self.right[shown],
        )

    @property
    def distances(self) -> dict[str, Distances]:
        """The distances by kind of pair."""
        return {"positive": self.positive, "negative": self.negative}


def snapshot_file(run: RunDirectory, time: str) -> Path:
    """Returns where a run keeps its snapshot of a time, `"before"` or `"after"`."""
    return run.plots / f"snapshot-{time}.npz"


def take_snapshot(
    evaluation: Evaluation,
    *,
    queries: Rows | None = None,
    backend: str = "auto",
    seed: int = 0,
) -> Snapshot:
    """Looks at the neighbours of fixed queries and the distances of fixed pairs.

    Args:
        evaluation: What was searched for, in what.
        queries: The rows to look at, those of an earlier snapshot; by default they are
            drawn, and depend only on the number of queries and `seed`.
        backend: Where FAISS searches.
        seed: Decides which queries and pairs.
    """
    query, gallery = evaluation.search.query, evaluation.search.gallery
    rng = np.random.default_rng(seed)
    drawn = np.sort(rng.choice(len(query), min(NUM_QUERIES, len(query)), replace=False))
    queries = drawn if queries is None else queries
    # A fixed query may itself lie in the gallery: search one more and take it out.
    own = evaluation.search.own_rows[queries]
    itself = bool(np.any(own >= 0))
    found, _ = find_neighbours(
        evaluation.query[queries],
        evaluation.gallery,
        NUM_NEIGHBOURS + itself,
        exclude_self=False,
        backend=backend,
    )
    if itself:
        found = _without(found, own)
    right = gallery.labels[found] == query.labels[queries][:, None]
    positive, negative = _pair_distances(evaluation, rng)
    return Snapshot(queries, found, right, positive, negative)


def _without(found: Rows, own: Rows) -> Rows:
    other = found != own[:, None]
    other[other.all(axis=1), -1] = False
    return found[other].reshape(len(found), -1)


def _pair_distances(
    evaluation: Evaluation, rng: np.random.Generator
) -> tuple[Distances, Distances]:
    query, gallery = evaluation.search.query, evaluation.search.gallery
    left = rng.integers(len(query), size=NUM_PAIRS)
    by_label = np.argsort(gallery.labels, kind="stable")
    sorted_labels = gallery.labels[by_label]
    first = np.searchsorted(sorted_labels, query.labels[left])
    count = np.searchsorted(sorted_labels, query.labels[left], side="right") - first
    there = count > 0
    same = by_label[(first + rng.integers(np.maximum(count, 1)))[there]]
    positive = np.stack([left[there], same], axis=1)
    negative = np.stack([left, rng.integers(len(gallery), size=NUM_PAIRS)], axis=1)
    own = evaluation.search.own_rows
    positive = positive[own[positive[:, 0]] != positive[:, 1]]
    negative = negative[query.labels[negative[:, 0]] != gallery.labels[negative[:, 1]]]

    def distances(pairs: Rows) -> Distances:
        gap = evaluation.query[pairs[:, 0]] - evaluation.gallery[pairs[:, 1]]
        return np.linalg.norm(gap, axis=1)

    return distances(positive), distances(negative)
