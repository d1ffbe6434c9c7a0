"""A TensorBoard profile of some steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from dce_tf.training.trainer import Trainer


class Profile(keras.callbacks.Callback):
    """Records what the devices and the host do in some steps.

    Args:
        trainer: Counts the steps; must pause at both ends.
        folder: Where TensorBoard looks; the profile lies in `plugins/profile/`.
        first: The first step to record.
        last: The one after the last.
    """

    def __init__(self, trainer: Trainer, folder: Path, first: int, last: int) -> None:
        super().__init__()
        self._trainer = trainer
        self._folder = folder
        self._first, self._last = first, last
        self._running = False

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Begins, if the steps begin with an epoch."""
        del epoch, logs
        self._look()

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Begins or ends."""
        del batch, logs
        self._look()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Ends, if the training does so first."""
        del logs
        if self._running:
            self._stop()

    def _look(self) -> None:
        step = self._trainer.step
        if self._running and step >= self._last:
            self._stop()
        elif not self._running and self._first <= step < self._last:
            tf.profiler.experimental.start(str(self._folder))
            self._running = True

    def _stop(self) -> None:
        tf.profiler.experimental.stop()
        self._running = False
