"""What the terminal shows: bars in one and in notebooks, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import contextvars
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from dce_tf.record import format_seconds
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
