"""What the rest of a run costs: told once, when the first steps have been measured."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from dce_tf.config import Config
from dce_tf.datasets import Search, Splits
from dce_tf.record import format_seconds, record_of
from dce_tf.reports.display import Display
from dce_tf.runs.loading import selection_search
from dce_tf.training.schedule import Schedule, Stage

STEPS = 20
"""Steps to measure before anything is said of the rest."""
WORTH_TELLING = 30.0
"""Seconds; of a rest that is shorter nothing is said."""

_DIVISION = ("seconds_features", "seconds_kmeans", "seconds_division")


class Estimate(keras.callbacks.Callback):
    """Tells once how long the whole run has left to go, and how much memory it has.

    The progress bar has the time that an epoch has left; this has that of all epochs,
    their divisions and their evaluations. The first call of this process is not
    measured: it compiles. Nor are the steps of the head, which take far less time than
    those of the whole network.

    Args:
        display: Where to.
        schedule: Says how many epochs there are, and which begin with a division.
        history: The lines of the epochs so far; those before training, and of epochs
            before the run was gone on with, say what an evaluation takes.
        scored: Images that are scored after an epoch.
        scored_untrained: Images that were scored before training.
        every: Epochs between two evaluations.
    """

    def __init__(
        self,
        display: Display,
        schedule: Schedule,
        history: Sequence[Mapping[str, Any]],
        *,
        scored: int,
        scored_untrained: int,
        every: int,
    ) -> None:
        super().__init__()
        self._display = display
        self._schedule = schedule
        self._history = history
        self._share = scored / max(1, scored_untrained)
        self._every = every
        self._epoch = 0
        self._steps = 0
        self._seconds = 0.0
        self._first = 0
        self._began = 0.0
        self._way = (False, False)
        self._compiled: set[tuple[bool, bool]] = set()
        self._is_told = False

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Notes which epoch it is, and how it trains."""
        del logs
        self._epoch = epoch
        whole = self._schedule.stage(epoch).whole_embedding
        self._way = (whole, self._schedule.backbone_frozen(epoch))

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Notes when a call begins, and how many steps are done before it."""
        del logs
        self._began, self._first = time.perf_counter(), batch

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Measures a call, and tells what is left when enough are measured."""
        del logs
        if self._is_told or self._schedule.stage(self._epoch) is Stage.HEAD:
            return
        if self._way not in self._compiled:
            self._compiled.add(self._way)
            return
        self._steps += batch + 1 - self._first
        self._seconds += time.perf_counter() - self._began
        if self._steps >= STEPS:
            self._is_told = True
            per_step = self._seconds / self._steps
            seconds = self._seconds_left(batch + 1, per_step)
            if seconds >= WORTH_TELLING:
                left = format_seconds(seconds)
                self._display.note(
                    f"Training has about {left} left, all epochs together: an "
                    f"estimate, from {per_step:.2g} s per step. {_memory()}"
                )

    def _seconds_left(self, done: int, per_step: float) -> float:
        """Returns what is left of all epochs, after `done` steps of this one."""
        epochs = self._schedule.num_epochs - self._epoch
        steps = self.params["steps"] * epochs - done
        return (
            steps * per_step
            + self._num_evaluations() * self._evaluation()
            + self._num_divisions() * self._division()
        )

    def _num_evaluations(self) -> int:
        """Returns how many epochs are scored from this one on."""
        last = self._schedule.num_epochs
        return sum(
            (epoch + 1) % self._every == 0 or epoch + 1 == last
            for epoch in range(self._epoch, last)
        )

    def _evaluation(self) -> float:
        for line in reversed(self._history):
            if line.get("stage") == Stage.HEAD:
                continue  # On features that were there.
            if (seconds := line.get("seconds_evaluate")) is not None:
                return float(seconds) * (1 if line["epoch"] >= 0 else self._share)
        return 0.0

    def _num_divisions(self) -> int:
        """Returns how many epochs after this one begin with a division."""
        after = range(self._epoch + 1, self._schedule.num_epochs)
        return sum(map(self._schedule.reclusters, after))

    def _division(self) -> float:
        record = record_of(self)
        logs = [dict(record.as_line())] if record is not None else []
        for line in [*logs, *reversed(self._history)]:
            if line.get("seconds_kmeans") is not None:
                seconds = float(sum(line.get(key) or 0.0 for key in _DIVISION))
                first = line["epoch"] == self._schedule.head_epochs
                return seconds + (self._pass_of_head() if first else 0.0)
        return 0.0

    def _pass_of_head(self) -> float:
        """Returns what the features took that the first division had from the head."""
        head = (line for line in self._history if line.get("stage") == Stage.HEAD)
        return max((line.get("seconds_division") or 0.0 for line in head), default=0.0)


def build_estimate(
    config: Config,
    schedule: Schedule,
    splits: Splits,
    history: Sequence[Mapping[str, Any]],
    display: Display,
) -> Estimate:
    """Builds the callback that tells what the rest of a run costs.

    Args:
        config: The settings.
        schedule: Of the run.
        splits: The data.
        history: The lines of the epochs so far; it goes on.
        display: Where to tell it.
    """
    search, test = selection_search(splits, config), splits.tests[0]
    scored, tested = _num_scored(search), _num_scored(test)
    return Estimate(
        display,
        schedule,
        history,
        scored=scored,
        scored_untrained=tested if search is test else tested + scored,
        every=config.evaluation.evaluate_every,
    )


def _num_scored(search: Search) -> int:
    both = 0 if search.leave_one_out else len(search.gallery)
    return len(search.query) + both


def _memory() -> str:
    """Returns a sentence on how much memory the process has taken, on a GPU, too."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak *= 1 if sys.platform == "darwin" else 1024
    text = f"It has taken {peak / 1e9:.1f} GB of memory so far"
    if gpus := tf.config.list_logical_devices("GPU"):
        used = sum(
            tf.config.experimental.get_memory_info(f"GPU:{number}")["peak"]
            for number in range(len(gpus))
        )
        text += f", and {used / 1e9:.1f} GB of the GPU's"
    return f"{text}."
