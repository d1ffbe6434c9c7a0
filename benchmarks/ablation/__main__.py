"""Does dividing pay? Runs what docs/ablation.csv lacks, and writes docs/ablation.md.

    python -m benchmarks.ablation --dogs=DIR --grocery=DIR --backbone=FILE.keras
    python -m benchmarks.ablation --tables

An embedding is trained on features of a backbone that is frozen, so that a run takes
seconds. Each run adds its line to the CSV when it ends, so that this can be stopped at
any time; `--part=0/2` and `--part=1/2` share the work. A fifth of the training classes
is held out and chooses the epoch; the test split chooses nothing.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.ablation.data_flags import add_data_flags, settings_of_data
from benchmarks.ablation.ideas import BASELINE, IDEAS, LOSSES
from benchmarks.ablation.picture import draw
from benchmarks.ablation.results import (
    KEY,
    RESULTS,
    add_row,
    read_rows,
    summary,
    tables,
    write_page,
)
from dce_tf.base.files import cache_folder

EPOCHS = 40  # Of the runs that docs/ablation.md is about.


def wanted(arguments: argparse.Namespace) -> Iterator[dict[str, str]]:
    """Yields the key of each run, the baseline first."""
    ideas = [name for name in IDEAS if name in (arguments.ideas or IDEAS)]
    if BASELINE not in ideas:
        ideas.insert(0, BASELINE)
    for seed, data, loss in itertools.product(
        range(arguments.seeds), arguments.sets, arguments.losses
    ):
        for idea in ideas:
            values = (data, loss, idea, str(arguments.epochs), str(seed))
            yield dict(zip(KEY, values, strict=True))


def run(key: dict[str, str], material: Any) -> dict[str, str]:
    """Trains; returns the line of the table."""
    from benchmarks.ablation.laboratory import config_of, train

    started = time.perf_counter()
    epochs = int(key["epochs"])
    config = config_of(key["idea"], key["loss"], int(key["seed"]), epochs)
    scores = train(config, material).scores
    seconds = time.perf_counter() - started
    return {**key, **summary(scores), "seconds": f"{seconds:.0f}"}


def main() -> None:
    """Runs what is missing, and prints the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_data_flags(parser)
    parser.add_argument("--losses", nargs="+", default=tuple(LOSSES), choices=LOSSES)
    parser.add_argument("--ideas", nargs="+", choices=IDEAS, metavar="IDEA")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--part", default="0/1", help="Which part of how many to run.")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--tables", action="store_true", help="Only write the tables.")
    arguments = parser.parse_args()
    if not arguments.tables:
        _run_missing(arguments)
    rows = read_rows(arguments.results)
    if arguments.results == RESULTS:
        write_page(rows)
        draw(rows, "multi_similarity", EPOCHS)
    print(tables(rows))


def _run_missing(arguments: argparse.Namespace) -> None:
    from benchmarks.ablation.laboratory import read_material

    where = settings_of_data(arguments)
    index, count = map(int, arguments.part.split("/"))
    cache = cache_folder() / "features"
    material: dict[str, Any] = {}
    for key in list(wanted(arguments))[index::count]:
        done = [
            {name: row[name] for name in KEY} for row in read_rows(arguments.results)
        ]
        if key in done:
            continue
        data = key["set"]
        if data not in material:
            material[data] = read_material(where[data], arguments.backbone, cache)
        row = run(key, material[data])
        add_row(row, arguments.results)
        print(", ".join(row.values()), flush=True)


if __name__ == "__main__":
    main()
