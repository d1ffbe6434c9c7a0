"""Runs every combination of settings and prints the table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dce_tf import config as config_module
from dce_tf.base.errors import UsageError
from dce_tf.config import Config
from dce_tf.reports.display import Display
from dce_tf.reports.tables import print_table
from dce_tf.runs.session import check
from dce_tf.sweep import results, space
from dce_tf.sweep.variants import Variant, cannot_work, configs_of, run_variant


def run(settings: Mapping[str, Any], arguments: Sequence[str]) -> int:
    """Sweeps."""
    if arguments:
        raise UsageError(f"Unexpected word {arguments[0]!r}: flags begin with --.")
    base = config_module.from_flags(settings)
    if base.evaluation.select_on == "test" or base.data.num_folds:
        raise UsageError(
            "A sweep compares runs on held-out classes, so --select_on=test and "
            "--num_folds do not fit. Leave them out."
        )
    seeds = _seeds(settings["seeds"])
    choices = space.parse_choices(settings["vary"])
    metric, display = settings["rank_by"], Display()
    target = Path(base.run.log_dir) / base.run.dir / f"{base.run.exp}-sweep"
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
        raise UsageError("--seeds: expected different numbers of 0 or more.")
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
        base.run.random_seed,
        lambda _: variants[-1].mean(metric),
    )
