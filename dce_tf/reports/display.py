"""What the terminal shows: bars in one and in notebooks, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import contextvars
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from dce_tf.record import VALUES, format_seconds, record_of
from dce_tf.reports.notebook_bar import Update, notebook_bar

_LED: contextvars.ContextVar[bool] = contextvars.ContextVar("led", default=False)
LINE_SECONDS = 30.0  # Between two plain lines about the same task.


@contextlib.contextmanager
def leading() -> Iterator[None]:
    """Keeps commands from saying what to try next, as whoever runs them does it."""
    token = _LED.set(True)
    try:
        yield
    finally:
        _LED.reset(token)


class Display:
    """Prints notes and shows how far a task is.

    Args:
        console: Where to; standard output by default.
        quiet: Show nothing.
    """

    def __init__(self, console: Console | None = None, *, quiet: bool = False) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True, quiet=quiet)

    def note(self, text: str) -> None:
        """Prints a line."""
        self.console.print(text, markup=False)

    def try_next(self, *commands: str) -> None:
        """Prints the command lines that lead on, unless within `leading`."""
        if _LED.get():
            return
        self.note("Try next:")
        for command in commands:
            self.note(f"  {command}")

    @contextlib.contextmanager
    def task(self, name: str, total: int, done: int = 0) -> Iterator[Update]:
        """Shows a task while it runs.

        Args:
            name: What it is.
            total: How many units it has.
            done: How many of them are done already.

        Yields:
            A function to be called with the units done so far and a note.
        """
        if self.console.is_jupyter:
            with notebook_bar(name, total) as update:
                yield update
            return
        if not self.console.is_terminal:
            yield _plain_lines(self.note, name, total, done)
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(compact=True),
        )
        with Progress(*columns, console=self.console, transient=True) as progress:
            task = progress.add_task(name, total=total, completed=done, note="")

            def update(done: int, note: str) -> None:
                progress.update(task, completed=done, note=note)

            yield update


def _plain_lines(
    note: Callable[[str], None], name: str, total: int, begun: int
) -> Update:
    started = last = time.monotonic()

    def update(done: int, text: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= LINE_SECONDS and done < total:
            last = now
            left = (now - started) * (total - done) / max(done - begun, 1)
            note(f"{name}  {done}/{total}  {text}  {format_seconds(left)} left")

    return update


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
