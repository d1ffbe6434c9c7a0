"""Tries the program as a new user would, from nothing, and notes the minutes.

    python -m benchmarks.newcomer --images=DIR [--only=folder,loss,wheel]
        [--backbone=FILE.keras] [--pictures=docs] [--keep=DIR]

Each trial has a copy of the checkout, a new virtual environment and an empty home, and
types what README.md and docs/ print: `pages.py` reads the command lines out of them.
`folder`: from photographs to a page; `loss`: from an idea to its comparison; `wheel`:
from a wheel to a collection that is served. DIR holds a folder of photographs for each
class. At the end there are a table of minutes, and a picture of what a person sees.

Needs Playwright of requirements-dev.txt, Chromium, Git, and 3 GB on the disk for each
environment. Where Keras cannot download weights, --backbone=FILE.keras stands in.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import playwright.sync_api
from rich.table import Table

from benchmarks.newcomer.clock import CLOCK
from benchmarks.newcomer.place import Place, Step
from benchmarks.newcomer.trials import TRIALS, Asked
from benchmarks.timing import print_machine

_LONGEST = 110  # Letters of a command line in the table.


def make_table(steps: Sequence[Step]) -> Table:
    """Draws what was waited for, installing apart."""
    table = Table(title="The first hours of a new user")
    for heading in ("trial", "step", "command", "minutes"):
        right = "right" if heading == "minutes" else "left"
        table.add_column(heading, justify=right, no_wrap=True)
    for step in steps:
        line = step.line.rsplit("\n", 1)[-1]
        short = line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
        table.add_row(
            step.trial, step.what, f"`{short}`" if short else "", minutes(step.seconds)
        )
    for installs in (True, False):
        # What is part of a command is in its minutes.
        seconds = sum(s.seconds for s in steps if s.line and s.installs == installs)
        name = "installing" if installs else "all other commands"
        table.add_row("", name, "", minutes(seconds))
    return table


def minutes(seconds: float) -> str:
    """Returns seconds as minutes, with one decimal."""
    return f"{seconds / 60:.1f}"


@contextlib.contextmanager
def _room(keep: Path | None) -> Iterator[Path]:
    """Gives a folder, which goes unless it is to be kept."""
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="newcomer-") as folder:
        yield Path(folder)


def main(words: Sequence[str] | None = None) -> int:
    """Runs the trials and prints the table; 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(TRIALS), help="Trials, by commas.")
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--per_class", type=int, default=30)
    parser.add_argument("--few", type=int, default=12, help="Classes that are too few.")
    parser.add_argument("--query", help="Class of the photograph to search with.")
    parser.add_argument("--backbone", type=Path)
    parser.add_argument("--pictures", type=Path, default=Path("docs"))
    parser.add_argument("--keep", type=Path, help="Work here, and leave what was made.")
    given = parser.parse_args(words)
    chosen = given.only.split(",")
    if unknown := set(chosen) - set(TRIALS):
        parser.error(f"--only={','.join(unknown)}: expected of {', '.join(TRIALS)}")
    asked = Asked(
        given.images,
        given.per_class,
        given.few,
        given.query,
        given.backbone,
        given.pictures,
    )
    CLOCK.start()
    steps: list[Step] = []
    failed = False
    with _room(given.keep) as room:
        for trial in chosen:
            folder = room / time.strftime(f"{trial}-%H%M%S")
            place = Place(folder, trial)
            try:
                TRIALS[trial](place, asked)
            except (ValueError, playwright.sync_api.Error) as error:
                failed = True
                print(f"{trial} failed: {error}", file=sys.stderr)
            steps += place.steps
            if given.keep is None:
                shutil.rmtree(folder)
    print_machine(make_table(steps))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
