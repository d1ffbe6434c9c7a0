"""How far an epoch has come, and what is said of it when it is done."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from dce_tf.record import EpochRecord


@dataclasses.dataclass
class EpochProgress:
    """How far an epoch has come.

    Attributes:
        logs: What callbacks wrote at its beginning, as `EpochRecord.as_line` gives it.
        steps: Steps done.
        loss_sums: Sum of the losses of each learner, float64 `(num_learners,)`.
        loss_counts: Steps of each learner, in the same order.
        images: Images trained on.
        seconds_data: Spent waiting for images.
        seconds_step: Spent on the steps themselves.
    """

    logs: dict[str, Any]
    steps: int = 0
    loss_sums: list[float] = dataclasses.field(default_factory=list)
    loss_counts: list[float] = dataclasses.field(default_factory=list)
    images: int = 0
    seconds_data: float = 0.0
    seconds_step: float = 0.0

    @property
    def loss(self) -> float:
        """Mean loss of all steps so far."""
        return float(np.sum(self.loss_sums) / np.sum(self.loss_counts))

    @property
    def images_per_second(self) -> float:
        """Of all steps so far, also of those before a run was gone on with."""
        return self.images / (self.seconds_data + self.seconds_step)

    def add(
        self,
        losses: npt.NDArray[np.float64],
        learners: npt.NDArray[np.int32],
        num_images: int,
        seconds: float,
        waited: float,
    ) -> None:
        """Adds steps.

        Args:
            losses: Of each step.
            learners: The learner of each step.
            num_images: In all of them.
            seconds: They took, waiting included.
            waited: Seconds of it that went by until the images were there.
        """
        # One by one, so that the sum does not depend on how steps are cut into calls.
        np.add.at(sums := np.asarray(self.loss_sums), learners, losses)
        np.add.at(counts := np.asarray(self.loss_counts), learners, 1.0)
        self.loss_sums, self.loss_counts = sums.tolist(), counts.tolist()
        self.steps += len(losses)
        self.images += num_images
        self.seconds_data += waited
        self.seconds_step += seconds - waited

    def write(self, record: EpochRecord, learner_losses: bool) -> None:
        """Writes into the record what there is to say of the steps.

        Args:
            record: Of the epoch.
            learner_losses: Whether each step was that of one learner.
        """
        if learner_losses:
            record.lists["learner_losses"] = [
                total / count if count else None
                for total, count in zip(self.loss_sums, self.loss_counts, strict=True)
            ]
        record.logs.update(
            loss=self.loss,
            steps=self.steps,
            seconds_data=self.seconds_data,
            seconds_step=self.seconds_step,
            images_per_second=self.images_per_second,
        )
