"""What trackers of experiments have in common: the record of an epoch, sent away."""

from __future__ import annotations

import abc
import importlib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import keras

from dce_tf.base.errors import UsageError
from dce_tf.base.files import write_text
from dce_tf.base.program import tell_to_install
from dce_tf.record import EpochRecord, record_of, tag_of


class Tracker(keras.callbacks.Callback, abc.ABC):
    """Sends the numbers of a run to where somebody follows it.

    Names are those of TensorBoard, such as `val/recall@1`; steps are epochs trained. A
    run that is resumed goes on under the number it had, which is kept in its folder.

    Args:
        name: Of the tracker.
        folder: The run's own.
        settings: Of the run, by the name of their flag.
    """

    def __init__(self, name: str, folder: Path, settings: Mapping[str, Any]) -> None:
        super().__init__()
        self._file = folder / f"{name}.txt"
        self.folder = folder
        self.settings = {k: v for k, v in settings.items() if v is not None}
        self._open = False

    @abc.abstractmethod
    def start(self, known: str | None) -> str:
        """Begins a run, or goes on with one.

        Args:
            known: The number that it had, if it goes on.

        Returns:
            Its number.
        """

    @abc.abstractmethod
    def send(self, numbers: Mapping[str, float], step: int) -> None:
        """Sends numbers by name."""

    @abc.abstractmethod
    def finish(self, scores: Mapping[str, float], step: int) -> None:
        """Sends the scores on the test split, and ends what `start` began.

        Args:
            scores: By name, such as `test/recall@1`.
            step: Of the best epoch, which they are of.
        """

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Begins."""
        del logs
        self._start()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Sends the epoch."""
        record = record_of(self) or EpochRecord(epoch, "", None, logs or {})
        self.send(record.scalars(), epoch + 1)

    def on_report(self, report: Mapping[str, Any]) -> None:
        """Sends the scores of the best epoch on the test split, and ends."""
        self._start()
        scores = {tag_of(key, "test"): value for key, value in report["after"].items()}
        self.finish(scores, report["best_epoch"] + 1)
        self._open = False

    def _start(self) -> None:
        if self._open:
            return
        known = self._file.read_text("utf-8").strip() if self._file.is_file() else None
        write_text(self._file, f"{self.start(known)}\n")
        self._open = True


def needed(module: str, callback: str) -> ModuleType:
    """Imports an optional package.

    Raises:
        UsageError: If it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UsageError(
            f"--callback={callback} needs a package that is not here ({error}). "
            f"Install it: {tell_to_install(callback)}."
        ) from error
