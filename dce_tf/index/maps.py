"""A gallery in two dimensions, coloured by cluster."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from dce_tf.base.errors import UsageError
from dce_tf.clustering.kmeans import fit_kmeans
from dce_tf.index.checks import unit_vectors
from dce_tf.index.collection import Record, Vectors

T = TypeVar("T")

METHODS = ("pca", "tsne")
_LEAST_FOR_TSNE = 4


@dataclasses.dataclass(frozen=True)
class MapPlan:
    """How a map is to be made.

    Attributes:
        method: One of `METHODS`.
        points: The most records on it; of more a random sample is drawn.
        clusters: Into how many clusters k-means cuts them.

    Raises:
        UsageError: If a value is out of range, or the method cannot be had.
    """

    method: str = "pca"
    points: int = 5000
    clusters: int = 10

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UsageError(
                f"--map={self.method}: expected one of {', '.join(METHODS)}, none."
            )
        for name in ("points", "clusters"):
            if getattr(self, name) < 1:
                raise UsageError(
                    f"--map_{name}={getattr(self, name)}: expected 1 or more."
                )
        if self.method == "tsne":
            _tsne()

    def draw(self, count: int) -> npt.NDArray[np.int64]:
        """Returns the rows of the records that the map shows, rising."""
        chosen = np.random.default_rng(0).choice(
            count, min(self.points, count), replace=False
        )
        return np.sort(chosen).astype(np.int64)


class Reservoir(Generic[T]):
    """A random sample of a stream (Vitter's algorithm R, 1985).

    Args:
        size: The most that is kept.
    """

    def __init__(self, size: int) -> None:
        self.kept: list[T] = []
        self._size = size
        self._seen = 0
        self._rng = np.random.default_rng(0)

    def add(self, items: Sequence[T]) -> None:
        """Takes the next of the stream."""
        for item in items:
            self._seen += 1
            if len(self.kept) < self._size:
                self.kept.append(item)
            elif self._size:
                place = int(self._rng.integers(self._seen))
                if place < self._size:
                    self.kept[place] = item


def lay_out(plan: MapPlan, vectors: Vectors) -> tuple[Vectors, npt.NDArray[np.int32]]:
    """Places vectors in the plane.

    Args:
        plan: How.
        vectors: Of unit length, float32 `(num_points, dim)`.

    Returns:
        Where each lies, float32 `(num_points, 2)`, −1 to 1; its cluster, int32.
    """
    count = len(vectors)
    if not count:
        return np.empty((0, 2), np.float32), np.empty(0, np.int32)
    clusters = fit_kmeans(vectors, min(plan.clusters, count), backend="faiss")
    if plan.method == "tsne" and count >= _LEAST_FOR_TSNE:
        places = _tsne()(
            n_components=2, perplexity=min(30, (count - 1) / 3), random_state=0
        ).fit_transform(vectors)
    else:
        places = _principal(vectors)
    places -= places.mean(axis=0)
    largest = np.abs(places).max()
    if largest > 0:
        places /= largest
    return places.astype(np.float32), clusters.assignment


def _principal(vectors: Vectors) -> npt.NDArray[np.float64]:
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    _, axes = np.linalg.eigh(centred.T @ centred)
    # The largest come last; a vector of one number has no second axis.
    places = centred @ axes[:, ::-1][:, :2]
    return np.pad(places, ((0, 0), (0, 2 - places.shape[1])))


def _tsne() -> Any:
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise UsageError(
            "--map=tsne needs scikit-learn: `pip install scikit-learn`, or use "
            "--map=pca."
        ) from error
    return TSNE


def as_points(
    plan: MapPlan, vectors: Vectors, names: list[tuple[Any, str | None]]
) -> dict[str, Any]:
    """Returns a map as JSON values.

    Args:
        plan: How it is made.
        vectors: As of `lay_out`.
        names: Id and label of each.
    """
    places, clusters = lay_out(plan, vectors)
    points = [
        {
            "id": record_id,
            "label": label,
            "x": round(float(x), 5),
            "y": round(float(y), 5),
            "cluster": int(cluster),
        }
        for (record_id, label), (x, y), cluster in zip(
            names, places, clusters, strict=True
        )
    ]
    return {"method": plan.method, "points": points}


def draw_map(plan: MapPlan, records: Sequence[Record]) -> dict[str, Any]:
    """Returns a map of records as JSON values."""
    names = [(record.id, record.label) for record in records]
    if not records:
        return as_points(plan, np.empty((0, 1), np.float32), names)
    vectors = np.stack([record.vector for record in records])
    return as_points(plan, unit_vectors(vectors, vectors.shape[1]), names)
