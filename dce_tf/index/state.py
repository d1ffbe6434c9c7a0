"""What is searched at one moment: the last build, and what came since."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from dce_tf.index.building import Build
from dce_tf.index.collection import Vectors
from dce_tf.index.faiss_kind import Positions
from dce_tf.index.records import Rows
from dce_tf.index.structures import Mask, Structure


@dataclasses.dataclass(frozen=True, eq=False)
class State:
    """Vectors by number of their record. A change makes another state.

    So a search goes on undisturbed while others write.

    Attributes:
        build: What the last build made a structure of.
        alive: Which of it are still there, bool; None for all.
        later_rows: Numbers of what came since, rising.
        later: Their vectors, float32 `(number, dim)`.
        later_alive: Which of them are still there, bool.
    """

    build: Build
    alive: Mask | None
    later_rows: Rows
    later: Vectors
    later_alive: Mask

    @classmethod
    def of(cls, build: Build, gone: Rows, later_rows: Rows, later: Vectors) -> State:
        """Returns the state of a build of which some records have gone."""
        fresh = cls(build, None, later_rows, later, np.ones(len(later_rows), bool))
        return fresh.without(gone)

    def __len__(self) -> int:
        alive = self.build.rows if self.alive is None else self.alive
        count = len(alive) if self.alive is None else int(np.count_nonzero(alive))
        return count + self.num_later

    @property
    def num_later(self) -> int:
        """How many records came since the build."""
        return int(np.count_nonzero(self.later_alive))

    def without(self, rows: Rows) -> State:
        """Returns the state after records are removed."""
        alive, later_alive = self.alive, self.later_alive
        gone = _places(self.build.rows, rows)
        if len(gone):
            alive = (
                np.ones(len(self.build.rows), bool) if alive is None else alive.copy()
            )
            alive[gone] = False
        gone = _places(self.later_rows, rows)
        if len(gone):
            later_alive = later_alive.copy()
            later_alive[gone] = False
        return dataclasses.replace(self, alive=alive, later_alive=later_alive)

    def with_more(self, rows: Rows, vectors: Vectors) -> State:
        """Returns the state after records are added; only of the newest one.

        Args:
            rows: Higher numbers than any before.
            vectors: float32 `(number, dim)`.
        """
        return dataclasses.replace(
            self,
            later_rows=_appended(self.later_rows, rows),
            later=_appended(self.later, vectors),
            later_alive=_appended(self.later_alive.copy(), np.ones(len(rows), bool)),
        )

    def search(
        self, queries: Vectors, k: int, allowed: Rows | None = None
    ) -> tuple[Vectors, Rows]:
        """Finds the records nearest to each query.

        Args:
            queries: Of unit length, float32 `(num_queries, dim)`.
            k: How many.
            allowed: Numbers of the records that count, rising; None for all.

        Returns:
            Cosine similarities, falling, float32 `(num_queries, found)`, and numbers
            of records. `found` is `k`, or as many as count.
        """
        keep, later_keep = self.alive, self.later_alive
        if allowed is not None:
            chosen = _among(self.build.rows, allowed)
            keep = chosen if keep is None else chosen & keep
            later_keep = later_keep & _among(self.later_rows, allowed)
        scores, positions = self.build.structure.search(queries, k, keep)
        rows = self.build.rows[positions]
        if not later_keep.any():
            return scores, rows
        late_scores, places = Structure(self.later).search(queries, k, later_keep)
        scores = np.concatenate([scores, late_scores], axis=1)
        rows = np.concatenate([rows, self.later_rows[places]], axis=1)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return (
            np.take_along_axis(scores, order, axis=1),
            np.take_along_axis(rows, order, axis=1),
        )


def _places(rows: Rows, wanted: Rows) -> Positions:
    """Returns where in `rows`, rising, those are that are wanted."""
    places = np.searchsorted(rows, wanted)
    inside = places < len(rows)
    places, wanted = places[inside], wanted[inside]
    return places[rows[places] == wanted]


def _among(rows: Rows, wanted: Rows) -> Mask:
    """Returns which of `rows`, rising, are wanted."""
    mask = np.zeros(len(rows), bool)
    mask[_places(rows, wanted)] = True
    return mask


def _appended(array: npt.NDArray[Any], more: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Returns both, one after the other, in room that doubles as it fills.

    A view of the old ones stays as it is.
    """
    size, needed = len(array), len(array) + len(more)
    room = array.base
    if room is None or len(room) < needed:
        room = np.empty((max(64, 2 * needed), *array.shape[1:]), array.dtype)
        room[:size] = array
    room[size:needed] = more
    return room[:needed]
