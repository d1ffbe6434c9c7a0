"""What the terminal shows: bars where there is one, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
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

LINE_SECONDS = 30.0  # Between two plain lines about the same task.

Update = Callable[[int, str], None]


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


def format_seconds(seconds: float) -> str:
    """Returns a duration as a person says it, such as `2 min 05 s`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


class ProgressBar(keras.callbacks.Callback):
    """Shows the steps of an epoch: loss, images a second, time left.

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
        stage = (logs or {}).get("stage", "")
        self._name = f"epoch {epoch + 1}/{self.params['epochs']} {stage}".strip()

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Moves the bar."""
        logs = logs or {}
        if self._update is None:
            task = self._display.task(self._name, logs["steps"], batch + 1)
            self._update = self._open.enter_context(task)
        rate = f"{logs['images_per_second']:.0f} images/s"
        self._update(batch + 1, f"loss {logs['loss']:.4f}  {rate}")

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
        logs = logs or {}
        parts = [
            f"epoch {epoch + 1}/{self.params['epochs']}",
            logs["stage"],
            f"loss {logs['loss']:.4f}",
        ]
        parts += [
            f"{key} {logs[key]:.4f}" for key in ("recall@1", "map@r") if key in logs
        ]
        if "evaluated_on" in logs:
            parts[-1] += f" ({logs['evaluated_on']})"
        if logs.get("kept") is not None:
            parts.append(f"kept {logs['kept']:.0%}")
        parts.append(f"{logs['images_per_second']:.0f} images/s")
        parts.append(format_seconds(logs["seconds"]))
        self._display.note("  ".join(parts))
