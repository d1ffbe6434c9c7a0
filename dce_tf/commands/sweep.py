"""Compare settings: a grid or random search with several seeds, on held-out classes.

    python main.py sweep --vary=num_clusters=1,4 --vary="loss=margin,proxy_anchor"
    python main.py sweep --vary=embedding_lr=1e-5..1e-3 --trials=20 --search=tpe

Takes every flag of train besides. Each combination is one run a seed, in a process of
its own; the same command goes on where it was stopped, and a larger grid keeps what is
done. The table, beside the runs as .csv, .tex and .json, has each run's best epoch on
the held-out classes; test scores are in the runs' own reports, not in the table.

Optuna draws, where --trials asks for it. Its data base is not needed, the runs are one;
KerasTuner would want to own the model, the loop and the folders.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from dce_tf import config as config_module
from dce_tf.commands import train
from dce_tf.config import Config
from dce_tf.errors import UsageError
from dce_tf.reports.tables import print_table
from dce_tf.runs.session import check
from dce_tf.runs.sweep import results, space
from dce_tf.runs.sweep.variants import (
    METRICS,
    Variant,
    cannot_work,
    configs_of,
    run_variant,
)
from dce_tf.training.display import Display


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of train, and what varies."""
    train.define_flags(values)
    flags.DEFINE_multi_string(
        "vary",
        [],
        "A setting and its values, 'num_clusters=1,4', or with --trials a range, "
        "'embedding_lr=1e-5..1e-3'; repeat it for several settings.",
        flag_values=values,
    )
    flags.DEFINE_list("seeds", ["0"], "random_seed of each run.", flag_values=values)
    flags.DEFINE_integer(
        "trials",
        None,
        "Draw so many combinations instead of all.",
        lower_bound=1,
        flag_values=values,
    )
    flags.DEFINE_enum(
        "search",
        "random",
        ["random", "tpe"],
        "How combinations are drawn: 'tpe' learns from those before.",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "rank_by", "recall@1", METRICS, "What is best.", flag_values=values
    )


def run(settings: Mapping[str, Any], arguments: Sequence[str]) -> int:
    """Sweeps."""
    if arguments:
        raise UsageError(f"Unexpected word {arguments[0]!r}: flags begin with --.")
    base = config_module.from_flags(settings)
    if base.select_on == "test" or base.num_folds:
        raise UsageError(
            "A sweep compares runs on held-out classes, so --select_on=test and "
            "--num_folds do not fit. Leave them out."
        )
    seeds = _seeds(settings["seeds"])
    choices = space.parse_choices(settings["vary"])
    metric, display = settings["rank_by"], Display()
    target = Path(base.log_dir) / base.dir / f"{base.exp}-sweep"
    output = target.with_name(f"{target.name}.txt")
    display.note(f"What the runs print goes to {output}")
    variants: list[Variant] = []
    for combination in _combinations(settings, choices, base, seeds, variants):
        try:
            configs = configs_of(base, combination, seeds)
        except UsageError as error:
            variants.append(cannot_work(combination, error, display))
        else:
            variants.append(run_variant(combination, configs, output, display))
        files = results.write(target, variants, metric)
    print_table(results.table(variants, metric))
    display.note(f"Written: {', '.join(str(path) for path in files)}")
    return 1 if any(variant.failed for variant in variants) else 0


def _seeds(words: Sequence[str]) -> list[int]:
    try:
        seeds = [int(word) for word in words]
    except ValueError as error:
        raise UsageError("--seeds: expected numbers, such as --seeds=0,1,2.") from error
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise UsageError("--seeds: expected different numbers from 0 on.")
    return seeds


def _combinations(
    settings: Mapping[str, Any],
    choices: space.Choices,
    base: Config,
    seeds: Sequence[int],
    variants: Sequence[Variant],
) -> Iterator[space.Settings]:
    """Yields what to run; a grid is checked as a whole before its first run."""
    metric = settings["rank_by"]
    if settings["trials"] is None:
        whole = list(space.grid(choices))
        for combination in whole:
            for config in configs_of(base, combination, seeds):
                check(config)
        yield from whole
        return
    yield from space.draw(
        choices,
        settings["trials"],
        settings["search"],
        base.random_seed,
        lambda _: variants[-1].mean(metric),
    )
