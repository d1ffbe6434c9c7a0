"""What a run waits for before its first step and after its last one.

    python -m benchmarks.start [--data_dir=GROCERY] [--images=200] [--repeats=3]
        [--other=CHECKOUT]

The built-in example, and a folder of photographs, eight to a class, with the network
`small`, each for one epoch of two steps: what is before the first step and after the
last one is as long as in any run. Each run has a home of its own, in which nobody has
looked at the images; the second run of a home is told apart. Seconds are those of the
clock, and of all processors (*cpu*), which other load on the machine moves less. What
is done beside the main thread has a row of its own, and its processor time is in the
rows of the main thread also.

`--other` is another checkout of this repository: both take turns, and the last table
has the processor time of this one as a share of the other's, median of the turns.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.newcomer.photographs import list_classes, make_folder
from benchmarks.timing import print_machine
from dce_tf.datasets.glyphs import read_glyphs

ROOT = Path(__file__).parents[2]
CHILD = Path(__file__).with_name("child.py")
PER_CLASS = 8
SHORT = ("--num_epochs=1", "--steps_per_epoch=2", "--overwrite")
PARTS = ("to the first step", "after the last step")


@dataclasses.dataclass(frozen=True)
class Run:
    """What one run waited for.

    Attributes:
        marks: Seconds of the clock and of all processors, by what happened then.
        spans: For each call of what is watched: its name, whether it was in the main
            thread, when it began, and its seconds of the clock and of all processors
            without what is watched within.
    """

    marks: dict[str, tuple[float, float]]
    spans: Sequence[tuple[str, bool, float, float, float]]

    def total(self, part: str) -> tuple[float, float]:
        """Returns the seconds of a part, of the clock and of all processors."""
        first, last, end = (
            self.marks[name] for name in ("first step", "last step", "end")
        )
        if part == PARTS[0]:
            return first
        return end[0] - last[0], end[1] - last[1]

    def rows(self, part: str) -> dict[str, tuple[float, float]]:
        """Returns the seconds of a part by what they went into."""
        spent: dict[str, list[float]] = collections.defaultdict(lambda: [0.0, 0.0])
        begins = self.marks["first step begins"]
        for name, is_main, at, seconds, cpu in self.spans:
            is_start = at < begins[0]
            if is_start == (part == PARTS[0]) and (
                is_start or at >= self.marks["last step"][0]
            ):
                row = spent[name if is_main else f"beside: {name}"]
                row[0] += seconds
                row[1] += cpu
        if part == PARTS[0]:
            first = self.marks["first step"]
            spent["the first step, traced"] = [first[i] - begins[i] for i in (0, 1)]
        named = [row for name, row in spent.items() if not name.startswith("beside")]
        total = self.total(part)
        spent["the rest"] = [total[i] - sum(row[i] for row in named) for i in (0, 1)]
        return {name: (row[0], row[1]) for name, row in spent.items()}


def run_once(checkout: Path, words: Sequence[str], home: Path) -> Run:
    """Runs a command line under the stopwatch.

    Args:
        checkout: Whose package is run.
        words: Those of the command line.
        home: Holds caches and logs.

    Raises:
        RuntimeError: If it fails.
    """
    output = home / "times.json"
    environment = {
        **os.environ,
        "PYTHONPATH": str(checkout),
        "XDG_CACHE_HOME": str(home / "cache"),
    }
    words = [*words, f"--log_dir={home / 'log'}"]
    command = [sys.executable, str(CHILD), str(time.monotonic()), str(output), *words]
    done = subprocess.run(
        command, env=environment, cwd=home, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} failed: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(output.read_text(encoding="utf-8"))
    return Run(found["marks"], found["spans"])


def make_table(name: str, runs: Sequence[Run], part: str) -> Table:
    """Draws what a part of several runs went into, medians of each row."""
    table = Table(title=f"{name}: {part}")
    for heading in ("", "s", "cpu s"):
        table.add_column(heading, justify="left" if not heading else "right")
    each = [run.rows(part) for run in runs]
    names = list(dict.fromkeys(row for rows in each for row in rows))
    medians = {
        row: [
            statistics.median(rows.get(row, (0.0, 0.0))[i] for rows in each)
            for i in (0, 1)
        ]
        for row in names
    }
    for row in sorted(names, key=lambda row: -medians[row][1]):
        if max(medians[row]) >= 0.05:
            table.add_row(row, *(f"{seconds:.1f}" for seconds in medians[row]))
    totals = [statistics.median(run.total(part)[i] for run in runs) for i in (0, 1)]
    table.add_row("together", *(f"{seconds:.1f}" for seconds in totals))
    return table


def make_ratios(ours: dict[str, list[Run]], others: dict[str, list[Run]]) -> Table:
    """Draws our processor time as a share of the other's, medians of the turns."""
    table = Table(title="Processor time, as a share of the other version's")
    table.add_column("")
    for part in PARTS:
        table.add_column(part, justify="right")
    for name, runs in ours.items():
        shares = [
            statistics.median(
                own.total(part)[1] / other.total(part)[1]
                for own, other in zip(runs, others[name], strict=True)
            )
            for part in PARTS
        ]
        table.add_row(name, *(f"{share:.2f}" for share in shares))
    return table


def command_lines(args: argparse.Namespace, place: Path) -> dict[str, list[str]]:
    """Returns the words of each run; makes the data of all in a place."""
    lines = {}
    if not args.no_example:
        # Drawn beforehand: that is done once on a machine, whatever the runs.
        read_glyphs(str(place / "glyphs"))
        lines["the built-in example"] = [
            *("train", "--dataset=glyphs", f"--data_dir={place / 'glyphs'}", *SHORT),
        ]
    if args.data_dir:
        classes = list_classes(args.data_dir / "images", PER_CLASS)
        names = sorted(classes)[: args.images // PER_CLASS]
        make_folder(classes, place / "photographs", PER_CLASS, names)
        lines[f"{args.images} photographs"] = [
            *(
                "train",
                "--dataset=folder(test_fraction=0.4)",
                f"--data_dir={place / 'photographs'}",
            ),
            *("--backbone=small", "--image_size=64", "--embedding_dim=64"),
            *("--num_clusters=2", "--batch_size=32", *SHORT),
        ]
    return lines


def run_in_turn(
    checkouts: Sequence[Path], lines: dict[str, list[str]], place: Path, repeats: int
) -> list[dict[str, list[Run]]]:
    """Runs each command line of each checkout in turn, twice in every home.

    Returns:
        The runs of each checkout by name.
    """
    found: list[dict[str, list[Run]]] = [{} for _ in checkouts]
    for turn, name, which in itertools.product(
        range(repeats), lines, range(len(found))
    ):
        home = place / f"home-{turn}-{which}-{name}"
        home.mkdir()
        for run in (name, f"{name}, again"):
            done = run_once(checkouts[which], lines[name], home)
            found[which].setdefault(run, []).append(done)
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=Path, help="the grocery photographs")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--other", type=Path, help="another checkout to compare with")
    parser.add_argument("--no_example", action="store_true", help="photographs only")
    args = parser.parse_args(argv)
    checkouts = [ROOT, *([args.other.resolve()] if args.other else [])]
    with tempfile.TemporaryDirectory() as folder:
        lines = command_lines(args, Path(folder))
        found = run_in_turn(checkouts, lines, Path(folder), args.repeats)
    for name, runs in found[0].items():
        for part in PARTS:
            print_machine(make_table(name, runs, part))
    if args.other:
        print_machine(make_ratios(*found))


if __name__ == "__main__":
    main()
