"""Does dividing pay? Runs what docs/ablation.csv lacks, and writes docs/ablation.md.

    python -m benchmarks.ablation --dogs=DIR --grocery=DIR --backbone=FILE.keras
    python -m benchmarks.ablation --network=whole --dogs=DIR …
    python -m benchmarks.ablation --tables

An embedding is trained on features of a backbone that is frozen, so that a run takes
seconds; with --network=whole all of it is trained, in minutes. Each run adds its line
to the CSV when it ends, so that this can be stopped at any time; `--part=0/2` and
`--part=1/2` share the work. A fifth of the training classes is held out and chooses the
epoch; the test split chooses nothing.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.ablation.data_flags import add_data_flags, settings_of_data
from benchmarks.ablation.ideas import BASELINE, LOSSES, NETWORKS
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

EPOCHS = {"frozen": 40, "whole": 8}  # Of the runs that docs/ablation.md is about.


def wanted(arguments: argparse.Namespace) -> Iterator[dict[str, str]]:
    """Yields the key of each run, the baseline first."""
    known = NETWORKS[arguments.network]
    ideas = [name for name in known if name in (arguments.ideas or known)]
    if BASELINE not in ideas:
        ideas.insert(0, BASELINE)
    for seed, data, loss in itertools.product(
        range(arguments.seeds), arguments.sets, arguments.losses
    ):
        for idea in ideas:
            values = (data, loss, idea, str(arguments.epochs), str(seed))
            yield dict(zip(KEY, values, strict=True))


Trainer = Callable[[dict[str, str]], Mapping[int, Mapping[str, Mapping[str, float]]]]


def frozen_trainer(where: Mapping[str, Any], backbone: str) -> Trainer:
    """Returns what trains the embedding of a run, on features that are kept."""
    from benchmarks.ablation.laboratory import config_of, read_material, train

    read = functools.cache(
        lambda data: read_material(where[data], backbone, cache_folder() / "features")
    )

    def trained(key: dict[str, str]) -> Any:
        config = config_of(
            key["idea"], key["loss"], int(key["seed"]), int(key["epochs"])
        )
        return train(config, read(key["set"])).scores

    return trained


def whole_trainer(where: Mapping[str, Any], backbone: str) -> Trainer:
    """Returns what trains the whole network of a run."""
    from benchmarks.ablation.laboratory import config_of
    from benchmarks.ablation.whole import train_whole

    def trained(key: dict[str, str]) -> Any:
        config = config_of(
            key["idea"], key["loss"], int(key["seed"]), int(key["epochs"]), whole=True
        )
        return train_whole(config.replace(**where[key["set"]], backbone=backbone))

    return trained


def main() -> None:
    """Runs what is missing, and prints the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_data_flags(parser)
    parser.add_argument("--losses", nargs="+", default=tuple(LOSSES), choices=LOSSES)
    parser.add_argument("--ideas", nargs="+", metavar="IDEA")
    parser.add_argument("--network", default="frozen", choices=NETWORKS)
    parser.add_argument("--epochs", type=int, help="40; 8 of the whole network.")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--part", default="0/1", help="Which part of how many to run.")
    parser.add_argument("--results", type=Path, help="Another CSV, and no page.")
    parser.add_argument("--tables", action="store_true", help="Only write the tables.")
    arguments = parser.parse_args()
    network = arguments.network
    for name in arguments.ideas or ():
        if name not in NETWORKS[network]:
            parser.error(f"--ideas {name!r}: not of --network={network}.")
    arguments.epochs = arguments.epochs or EPOCHS[network]
    path = arguments.results or RESULTS[network]
    if not arguments.tables:
        _run_missing(arguments, path)
    rows = read_rows(path)
    if arguments.results is None:
        write_page(rows, network)
        if network == "frozen":
            draw(rows, "multi_similarity", EPOCHS[network])
    print(tables(rows))


def _run_missing(arguments: argparse.Namespace, path: Path) -> None:
    make = {"frozen": frozen_trainer, "whole": whole_trainer}[arguments.network]
    trained = make(settings_of_data(arguments), arguments.backbone)
    index, count = map(int, arguments.part.split("/"))
    for key in list(wanted(arguments))[index::count]:
        done = [{name: row[name] for name in KEY} for row in read_rows(path)]
        if key in done:
            continue
        started = time.perf_counter()
        row = {**key, **summary(trained(key))}
        row["seconds"] = f"{time.perf_counter() - started:.0f}"
        add_row(row, path)
        print(", ".join(row.values()), flush=True)


if __name__ == "__main__":
    main()
