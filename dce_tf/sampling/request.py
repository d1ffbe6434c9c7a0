"""What a sampler is asked for."""

from __future__ import annotations

import dataclasses
from typing import Protocol

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class BatchRequest:
    """The batches of one cluster, to be drawn.

    Attributes:
        labels: Class of each image of the split, int32 `(num_images,)`.
        rows: The images to draw from, as positions in `labels`.
        batch_size: Images per batch.
        samples_per_class: Images of one class in a batch, side by side.
        steps: How many batches.
        rng: Source of randomness; the same state draws the same batches.
        groups: Cluster of each image in the last clustering, int32 `(num_images,)`.
        super_classes: Super-class of each image, int32 `(num_images,)`.
        class_means: Mean of the images of each class, of unit length, float32
            `(num_classes, dim)`; only for a sampler with `needs_means`.
    """

    labels: npt.NDArray[np.int32]
    rows: Rows
    batch_size: int
    samples_per_class: int
    steps: int
    rng: np.random.Generator
    groups: npt.NDArray[np.int32] | None = None
    super_classes: npt.NDArray[np.int32] | None = None
    class_means: npt.NDArray[np.float32] | None = None

    @property
    def places(self) -> int:
        """How many classes a batch has places for.

        Raises:
            ValueError: If `samples_per_class` does not divide `batch_size`.
        """
        if self.batch_size % self.samples_per_class:
            raise ValueError(
                f"batch_size ({self.batch_size}) must be a multiple of "
                f"samples_per_class ({self.samples_per_class})."
            )
        return self.batch_size // self.samples_per_class


class Sampler(Protocol):
    """Draws the batches of one cluster.

    One that looks for classes that are alike has an attribute `needs_means`, True.
    """

    def __call__(self, request: BatchRequest) -> Rows:
        """Draws batches.

        Args:
            request: What to draw.

        Returns:
            Rows, int64 `(steps, batch_size)`.

        Raises:
            ValueError: If nothing can be drawn.
        """
