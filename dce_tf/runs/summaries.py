"""The callback that tells TensorBoard what each epoch brought."""

from __future__ import annotations

from typing import Any

import keras

from dce_tf.config import Config
from dce_tf.record import EpochRecord, record_of
from dce_tf.record.run_directory import RunDirectory
from dce_tf.reports.tensorboard import TensorBoardWriter


class Summaries(keras.callbacks.Callback):
    """Writes the numbers of each epoch as TensorBoard scalars.

    Args:
        run: Where to.
        config: The settings, shown as text; its learning rates are scalars.
    """

    def __init__(self, run: RunDirectory, config: Config) -> None:
        super().__init__()
        self._config = config
        self._writer = TensorBoardWriter(run.tensorboard)
        self._stage = ""

    def write_settings(self) -> None:
        """Writes the settings as a table."""
        rows = [f"| {k} | {v} |" for k, v in self._config.as_dict().items()]
        table = "\n".join(["| setting | value |", "| --- | --- |", *rows])
        self._writer.text("settings", table, 0)

    def write_epoch(
        self, record: EpochRecord, others: dict[str, float] | None = None
    ) -> None:
        """Writes the numbers of an epoch, and its stage where that is a new one.

        Args:
            record: Of the epoch.
            others: Further numbers by tag.
        """
        if record.stage != self._stage:
            self._stage = record.stage
            self._writer.text("stage", record.stage, record.epoch + 1)
        self._writer.scalars(record.epoch + 1, {**record.scalars(), **(others or {})})
        self._writer.flush()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes the epoch."""
        record = record_of(self) or EpochRecord(epoch, "", None, logs or {})
        # Under MirroredStrategy a variable cannot become a float by itself.
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        backbone_rate = 0.0 if record.stage == "head" else rate
        rates = {
            "learning_rate/backbone": backbone_rate
            * self._config.optimizer.backbone_lr,
            "learning_rate/embedding": rate * self._config.optimizer.embedding_lr,
        }
        self.write_epoch(record, rates)

    def close(self) -> None:
        """Finishes the event file."""
        self._writer.close()
