"""Batches that do not look at classes."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from dce_tf.sampling import SAMPLERS

Rows = npt.NDArray[np.int64]


@SAMPLERS.register("random")
@dataclasses.dataclass(frozen=True)
class RandomRows:
    """Draws every image once before any comes again, in random order.

    A batch may then hold few positive pairs, or none: for losses with class proxies.
    """

    def __call__(
        self,
        labels: npt.NDArray[np.int32],
        rows: Rows,
        *,
        batch_size: int,
        samples_per_class: int,
        steps: int,
        rng: np.random.Generator,
        groups: npt.NDArray[np.int32] | None = None,
        super_classes: npt.NDArray[np.int32] | None = None,
    ) -> Rows:
        """Draws batches; see `Sampler`."""
        del labels, samples_per_class, groups, super_classes
        rounds = -(-steps * batch_size // len(rows))
        drawn = np.concatenate([rng.permutation(rows) for _ in range(rounds)])
        return drawn[: steps * batch_size].reshape(steps, batch_size)
