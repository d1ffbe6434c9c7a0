"""Batches that do not look at classes."""

from __future__ import annotations

import dataclasses

import numpy as np

from dce_tf.sampling import SAMPLERS
from dce_tf.sampling.request import BatchRequest, Rows


@SAMPLERS.register("random")
@dataclasses.dataclass(frozen=True)
class RandomRows:
    """Draws every image once before any comes again, in random order.

    A batch may then hold few positive pairs, or none: for losses with class proxies.
    """

    def __call__(self, request: BatchRequest) -> Rows:
        """Draws batches; see `Sampler`."""
        total = request.steps * request.batch_size
        rounds = -(-total // len(request.rows))
        shuffled = [request.rng.permutation(request.rows) for _ in range(rounds)]
        return np.concatenate(shuffled)[:total].reshape(request.steps, -1)
