"""The callback that keeps what an interrupted run goes on from."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import keras

from dce_tf.run_directory import RunDirectory, best_line
from dce_tf.training.checkpoints import Checkpoints, Progress
from dce_tf.training.trainer import Trainer


class Bookkeeping(keras.callbacks.Callback):
    """Keeps the best model, then a checkpoint, then the metrics of each epoch.

    Must come after the callbacks that write into the logs.

    Args:
        trainer: Whose steps and variables to keep.
        run: Where the metrics go.
        checkpoints: Where the rest goes.
        progress: How far the run has come; changed in place.
    """

    def __init__(
        self,
        trainer: Trainer,
        run: RunDirectory,
        checkpoints: Checkpoints,
        progress: Progress,
    ) -> None:
        super().__init__()
        self._trainer = trainer
        self._run = run
        self._checkpoints = checkpoints
        self.progress = progress

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Stores the epoch."""
        logs = {} if logs is None else logs
        logs["seconds"] = sum(v for k, v in logs.items() if k.startswith("seconds_"))
        self.store(epoch, logs)

    def store(self, epoch: int, logs: dict[str, Any]) -> None:
        """Writes the checkpoint and the metrics of an epoch."""
        self.progress.epoch = epoch
        self.progress.step = self._trainer.step
        self.progress.history.append({"epoch": epoch, **logs})
        if best_line(self.progress.history) is self.progress.history[-1]:
            average = self._trainer.average
            with average.in_place() if average else contextlib.nullcontext():
                self._checkpoints.save_best(self._trainer.model)
        self._checkpoints.save(self.progress, stateful_variables(self._trainer))
        self._run.write_metrics(self.progress.history)


def stateful_variables(trainer: Trainer) -> Sequence[Any]:
    """Returns every variable that the next step depends on, in an order that stays."""
    return [
        *trainer.model.variables,
        *trainer.loss.variables,
        *trainer.optimizer.variables,
        *(trainer.average.variables if trainer.average else []),
    ]
