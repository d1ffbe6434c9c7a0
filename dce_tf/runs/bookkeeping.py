"""The callback that keeps what an interrupted run goes on from."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from dce_tf.record import EpochRecord, record_of
from dce_tf.record.run_directory import RunDirectory, best_line
from dce_tf.training.checkpoints import Checkpoints, RunProgress
from dce_tf.training.trainer import Trainer


class Bookkeeping(keras.callbacks.Callback):
    """Keeps a checkpoint, then the best model, then the metrics of each epoch.

    Of several processes only the chief writes. Must come after the callbacks that
    write into the logs.

    Args:
        trainer: Whose steps and variables to keep.
        run: Where the metrics go.
        checkpoints: Where the rest goes.
        progress: How far the run has come; changed in place.
        features: Returns what the next division clusters, if that is gathered while
            training; None where it is not.
        every_steps: Steps of an epoch between two checkpoints within it; None for none.
    """

    def __init__(
        self,
        trainer: Trainer,
        run: RunDirectory,
        checkpoints: Checkpoints,
        progress: RunProgress,
        features: Callable[[], npt.NDArray[np.float32] | None] = lambda: None,
        every_steps: int | None = None,
    ) -> None:
        super().__init__()
        self._trainer = trainer
        self._run = run
        self._checkpoints = checkpoints
        self.progress = progress
        self._features = features
        self._every_steps = every_steps

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Stores how far the epoch is, if it is time or somebody asked to stop."""
        del logs
        done = batch + 1
        due = self._every_steps and not done % self._every_steps
        under_way = self._trainer.progress
        asked = self._trainer.stopping or (due and done < self.params["steps"])
        if under_way is not None and asked:
            self.progress.partial = dataclasses.asdict(under_way)
            self._save()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Stores the epoch."""
        self.progress.stopped = bool(self.model.stop_training)
        self.store(record_of(self) or EpochRecord(epoch, "", None, logs or {}))

    def store(self, record: EpochRecord) -> None:
        """Writes the checkpoint and the metrics of an epoch."""
        started = time.perf_counter()
        self.progress.epoch, self.progress.partial = record.epoch, None
        history = self.progress.history
        history.append(record.as_line())
        is_chief = self._trainer.workers.is_chief
        if is_chief and best_line(history) is history[-1]:
            average = self._trainer.average
            with average.in_place() if average else contextlib.nullcontext():
                self._checkpoints.save_best(self._trainer.model, record.epoch)
        self._save()
        self.publish_best()
        record.logs["seconds_checkpoint"] = time.perf_counter() - started
        history[-1] = record.as_line()
        if is_chief:
            self._run.write_metrics(history)

    def publish_best(self) -> None:
        """Lets the best model be that of the best epoch that is kept."""
        if self._trainer.workers.is_chief:
            best = best_line(self.progress.history)
            self._checkpoints.publish_best(best["epoch"] if best else None)

    def _save(self) -> None:
        if not self._trainer.workers.is_chief:
            return
        if not self._run.config_file.is_file():
            raise ValueError(
                f"{self._run.path} was removed, or its config.json, while the run went "
                "on. Put it back and start the same command again, or start over."
            )
        self.progress.step = self._trainer.step
        self.progress.features = self._features()
        self._checkpoints.save(self.progress, stateful_variables(self._trainer))


def stateful_variables(trainer: Trainer) -> Sequence[Any]:
    """Returns every variable that the next step depends on, in an order that stays."""
    distillation = trainer.loop.step.distillation
    return [
        *trainer.model.variables,
        *trainer.loss.variables,
        *(distillation.variables if distillation else []),
        *trainer.optimizer.variables,
        *(trainer.average.variables if trainer.average else []),
    ]
