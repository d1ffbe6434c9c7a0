"""The callbacks that show a training: a bar for the steps, a line for each epoch."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import keras

from dce_tf.record import VALUES, record_of
from dce_tf.reports.display import Display
from dce_tf.reports.notebook_bar import Update


class ProgressBar(keras.callbacks.Callback):
    """Shows the steps of an epoch: loss, images per second, time left.

    Args:
        display: Where to.
    """

    def __init__(self, display: Display) -> None:
        super().__init__()
        self._display = display
        self._open = contextlib.ExitStack()
        self._update: Update | None = None
        self._name = ""

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Notes the name of the epoch; the bar opens with its first steps."""
        del logs
        self._name = name_of(self, epoch)

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Moves the bar."""
        if self._update is None:
            task = self._display.task(self._name, self.params["steps"], batch + 1)
            self._update = self._open.enter_context(task)
        self._update(batch + 1, "  ".join(shown_values(logs or {})))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Closes the bar."""
        del epoch, logs
        self.close()

    def close(self) -> None:
        """Gives the terminal back."""
        self._open.close()
        self._update = None


class EpochLines(keras.callbacks.Callback):
    """Prints a line at the end of each epoch.

    Args:
        display: Where to.
    """

    def __init__(self, display: Display) -> None:
        super().__init__()
        self._display = display

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Prints the epoch's metrics."""
        record = record_of(self)
        values = (
            shown_values(logs or {})
            if record is None
            else shown_values(record.numbers, record.evaluated_on)
        )
        self._display.note("  ".join([name_of(self, epoch), *values]))


def name_of(callback: keras.callbacks.Callback, epoch: int) -> str:
    """Returns what a person calls the epoch, such as `epoch 3/20 divide`."""
    record = record_of(callback)
    stage = "" if record is None else record.stage
    return f"epoch {epoch + 1}/{callback.params['epochs']} {stage}".strip()


def shown_values(numbers: Mapping[str, float], split: str | None = None) -> list[str]:
    """Returns the values of an epoch that the terminal shows, in the table's order.

    Args:
        numbers: By key.
        split: What was evaluated; stands behind the scores.
    """
    parts, last_score = [], -1
    for value in VALUES:
        if not value.shown or value.key not in numbers:
            continue
        label = value.key if value.label is None else value.label
        parts.append(f"{label} {value.text(numbers[value.key])}".strip())
        if value.of_split:
            last_score = len(parts) - 1
    if split and last_score >= 0:
        parts[last_score] += f" ({split})"
    return parts
