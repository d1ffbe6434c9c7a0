"""Timing what is compared in turn, and printing medians."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table


def alternate(
    parts: Mapping[str, Callable[[], Any]], repeats: int
) -> dict[str, list[float]]:
    """Runs all parts in turn, several times, after one run that does not count.

    Args:
        parts: What to time, by name.
        repeats: How often.

    Returns:
        Seconds of each run, by name.
    """
    seconds: dict[str, list[float]] = {name: [] for name in parts}
    for run in range(repeats + 1):
        for name, part in parts.items():
            started = time.perf_counter()
            part()
            if run:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def look() -> tuple[float, int, int]:
    """Returns memory in MB, open handles and threads of this process; Linux only."""
    status = _status()
    handles = len(list(Path("/proc/self/fd").iterdir()))
    return _megabytes(status["VmRSS"]), handles, int(status["Threads"])


def peak_memory() -> float:
    """Returns the most memory this process has had, in MB; Linux only.

    `getrusage` would begin with what the process had that started this one.
    """
    return _megabytes(_status()["VmHWM"])


def _status() -> dict[str, str]:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return dict(line.split(":", 1) for line in lines)


def _megabytes(text: str) -> float:
    return int(text.removesuffix("kB")) / 1024


def print_table(title: str, seconds: Mapping[str, list[float]]) -> None:
    """Prints the median, least and most of each part, and the machine."""
    table = Table(title=title)
    table.add_column("part")
    for column in ("median s", "least", "most"):
        table.add_column(column, justify="right")
    for name, runs in seconds.items():
        figures = (statistics.median(runs), min(runs), max(runs))
        table.add_row(name, *(f"{figure:.3f}" for figure in figures))
    print_machine(table)


def print_machine(table: Table) -> None:
    """Prints a table, and on which machine it was measured and when.

    Into a file or a pipe it is written as Markdown.
    """
    on_terminal = sys.stdout.isatty()
    console = Console(width=100 if on_terminal else 250)
    if not on_terminal:
        table.box = box.MARKDOWN
    console.print(table)
    console.print(
        f"{platform.machine()}, {os.cpu_count()} processors, {time.strftime('%F')}"
    )
