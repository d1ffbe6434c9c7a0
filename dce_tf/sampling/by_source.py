"""Batches of a mix of data sets: of one source at a time, or evenly of all."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from dce_tf.sampling.request import BatchRequest, Rows, Sampler

BATCHES = ("source", "mixed")
WEIGHTS = ("size", "equal")


@dataclasses.dataclass(frozen=True, eq=False)
class BySource:
    """Lets a sampler draw from each source by itself.

    A source takes part in a cluster where it has two classes of two images or more
    there, or for mixed batches one; where none has, the sampler draws from all. How
    often each is drawn is exact but for rounding, which chance decides.

    Attributes:
        sampler: Draws the batches, or parts of batches, of one source.
        sources: Source of each image of the split, int32 `(num_images,)`.
        batches: `"source"`: every batch is of one source; `"mixed"`: every batch holds
            classes of all of them, as far as it has places.
        weights: `"size"`: a source is drawn as often as it has images in the cluster;
            `"equal"`: all alike.

    Raises:
        ValueError: If `batches` or `weights` is unknown.
    """

    sampler: Sampler
    sources: npt.NDArray[np.int32]
    batches: str = "source"
    weights: str = "size"

    def __post_init__(self) -> None:
        for name, known in (("batches", BATCHES), ("weights", WEIGHTS)):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"BySource({name}={getattr(self, name)!r}): expected one of "
                    f"{', '.join(known)}."
                )

    def __call__(self, request: BatchRequest) -> Rows:
        """Draws batches; see `Sampler`."""
        members = self._members(request)
        if not members:
            return self.sampler(request)
        sizes = np.array([len(rows) for rows in members], np.float64)
        weights = sizes if self.weights == "size" else np.ones(len(members))
        if self.batches == "source":
            return self._one_at_a_time(request, members, weights)
        return self._of_all(request, members, weights)

    def _members(self, request: BatchRequest) -> list[Rows]:
        """Returns the rows of each source that takes part."""
        own = self.sources[request.rows]
        fewest = 2 if self.batches == "source" else 1
        members = []
        for source in np.unique(own):
            rows = request.rows[own == source]
            counts = np.unique(request.labels[rows], return_counts=True)[1]
            if np.count_nonzero(counts > 1) >= fewest:
                members.append(rows)
        return members

    def _one_at_a_time(
        self,
        request: BatchRequest,
        members: list[Rows],
        weights: npt.NDArray[np.float64],
    ) -> Rows:
        turns = request.rng.permutation(_shared_out(request.steps, weights, request))
        drawn = np.empty((request.steps, request.batch_size), np.int64)
        for number, rows in enumerate(members):
            own = np.flatnonzero(turns == number)
            if len(own):
                drawn[own] = self.sampler(
                    dataclasses.replace(request, rows=rows, steps=len(own))
                )
        return drawn

    def _of_all(
        self,
        request: BatchRequest,
        members: list[Rows],
        weights: npt.NDArray[np.float64],
    ) -> Rows:
        places, each = request.places, request.samples_per_class
        owners = np.stack(
            [_shared_out(places, weights, request) for _ in range(request.steps)]
        )
        drawn = np.empty((request.steps, places, each), np.int64)
        for number, rows in enumerate(members):
            counts = np.count_nonzero(owners == number, axis=1)
            for count in np.unique(counts[counts > 0]).tolist():
                steps = np.flatnonzero(counts == count)
                part = self.sampler(
                    dataclasses.replace(
                        request, rows=rows, steps=len(steps), batch_size=count * each
                    )
                )
                step, place = np.nonzero(
                    (owners == number) & (counts == count)[:, None]
                )
                drawn[step, place] = part.reshape(-1, each)
        # Mixed, as each replica gets a part of the batch.
        order = request.rng.permuted(
            np.tile(np.arange(places), (len(drawn), 1)), axis=1
        )
        drawn = np.take_along_axis(drawn, order[:, :, None], axis=1)
        return drawn.reshape(request.steps, -1)


def _shared_out(
    count: int, weights: npt.NDArray[np.float64], request: BatchRequest
) -> Rows:
    """Returns whose each of some turns is, rising; shares are exact but for rounding.

    One random offset for all (systematic sampling), so that also the rounding is right
    on average.
    """
    ends = np.cumsum(weights) / weights.sum()
    at = (request.rng.random() + np.arange(count)) / count
    return np.minimum(np.searchsorted(ends, at, side="right"), len(weights) - 1)
