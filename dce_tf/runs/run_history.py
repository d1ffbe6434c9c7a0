"""What runs did, read from their folders, and what differs between them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dce_tf.base.errors import UsageError
from dce_tf.base.program import PROGRAM
from dce_tf.config import Config
from dce_tf.record import PARTS, SELECTED_BY
from dce_tf.record.run_directory import Metrics, RunDirectory, best_line

_NOT_OF_THE_RESULT = ("random_seed", "exp", "dir", "log_dir")


@dataclasses.dataclass(frozen=True, eq=False)
class RunHistory:
    """A run as its folder tells it.

    Attributes:
        name: What reports call it.
        run: Its folder.
        config: Its settings.
        history: The lines of `metrics.jsonl`; epoch −1 is before training.
        report: Its result; None while it is not done.
    """

    name: str
    run: RunDirectory
    config: Config
    history: list[Metrics]
    report: dict[str, Any] | None

    @property
    def best(self) -> Metrics:
        """The line of the best epoch."""
        best = best_line(self.history)
        if best is None:
            raise ValueError(
                f"{self.run.path}: no epoch was evaluated yet, so there is nothing to "
                "report. Train on, with the same command."
            )
        return best

    @property
    def steps(self) -> int:
        """How many steps it took so far."""
        return int(sum(line.get("steps") or 0 for line in self.history))

    @property
    def seconds(self) -> dict[str, float]:
        """What the parts of all epochs took, by key."""
        return {
            part.key: float(sum(line.get(part.key) or 0 for line in self.history))
            for part in PARTS
        }

    @property
    def test(self) -> dict[str, float]:
        """The scores of the best epoch on the test split; none while it is not done."""
        return dict(self.report["after"]) if self.report else {}

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that a result follows from, but for the seed."""
        identity = self.config.identity()
        return {k: v for k, v in identity.items() if k not in _NOT_OF_THE_RESULT}


def read_histories(paths: Sequence[Path]) -> list[RunHistory]:
    """Reads runs.

    Raises:
        UsageError: If one is named twice.
        ValueError: If there is no run, or one was not evaluated yet.
    """
    runs = [RunDirectory.opened(path) for path in paths]
    real = [run.path.resolve() for run in runs]
    for path in real:
        if real.count(path) > 1:
            raise UsageError(f"{path} is named twice. Name each run once.")
    histories = [
        RunHistory(name, run, run.config(), run.metrics(), run.report())
        for name, run in zip(_names(real), runs, strict=True)
    ]
    for each in histories:
        if not each.history:
            raise ValueError(
                f"{each.run.path} has not begun. `{PROGRAM} browse` lists the runs."
            )
        _ = each.best
    return histories


def _names(paths: Sequence[Path]) -> list[str]:
    """Returns the last parts of paths, as many as tell them apart."""
    for count in range(1, max(len(path.parts) for path in paths) + 1):
        names = ["/".join(path.parts[-count:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def group_runs(runs: Sequence[RunHistory]) -> dict[str, list[RunHistory]]:
    """Returns together, by the name of the first, runs that differ by their seed."""
    groups: dict[str, list[RunHistory]] = {}
    for run in runs:
        key = json.dumps(run.settings, sort_keys=True, default=str)
        groups.setdefault(key, []).append(run)
    return {
        own[0].name if len(own) == 1 else f"{own[0].name} and {len(own) - 1} more": own
        for own in groups.values()
    }


def changed_settings(runs: Sequence[RunHistory]) -> dict[str, list[Any]]:
    """Returns the settings in which runs differ: of each its value in every run."""
    found = [run.config.identity() for run in runs]
    return {
        name: [each[name] for each in found]
        for name in found[0]
        if any(each[name] != found[0][name] for each in found)
    }


@dataclasses.dataclass(frozen=True)
class Gain:
    """What dividing gave over K = 1, on one split.

    Attributes:
        divided: The group that divides.
        baseline: The group with K = 1.
        split: `val` or `test`.
        metric: The score.
        differences: Of each pair of runs with one seed.
        steps: Steps of the divided runs over those of the others.
        others: Further settings in which the two differ.
    """

    divided: str
    baseline: str
    split: str
    metric: str
    differences: list[float]
    steps: float
    others: list[str]


def gains(groups: dict[str, list[RunHistory]]) -> list[Gain]:
    """Compares each group that divides with each that does not, paired by seed."""
    found = []
    for name, divided in groups.items():
        for other, whole in groups.items():
            if divided[0].config.division.num_clusters == 1:
                continue
            if whole[0].config.division.num_clusters == 1:
                found += _gains(name, divided, other, whole)
    return found


def _gains(
    name: str, divided: list[RunHistory], other: str, whole: list[RunHistory]
) -> list[Gain]:
    if not _same_data(divided[0], whole[0]):
        return []
    seeds = {run.config.run.random_seed: run for run in whole}
    pairs = [
        (run, seeds[run.config.run.random_seed])
        for run in divided
        if run.config.run.random_seed in seeds
    ]
    if not pairs:
        return []
    steps = sum(a.steps for a, _ in pairs) / max(1, sum(b.steps for _, b in pairs))
    others = _other_settings(divided[0], whole[0])
    result = []
    for metric in SELECTED_BY:
        scores = {
            "val": [(a.best.get(metric), b.best.get(metric)) for a, b in pairs],
            "test": [(a.test.get(metric), b.test.get(metric)) for a, b in pairs],
        }
        for split, both in scores.items():
            known = [a - b for a, b in both if a is not None and b is not None]
            if known:
                result.append(Gain(name, other, split, metric, known, steps, others))
    return result


def _same_data(first: RunHistory, second: RunHistory) -> bool:
    """Whether both trained and were scored on the same images."""
    names = ("dataset", "data_dir", "val_fraction", "num_folds", "fold")
    a, b = first.config.data, second.config.data
    same = all(getattr(a, name) == getattr(b, name) for name in names)
    split = first.config.evaluation.select_on == second.config.evaluation.select_on
    return same and split


def _other_settings(first: RunHistory, second: RunHistory) -> list[str]:
    """Returns settings that differ and are not about dividing."""
    about = {field.name for field in dataclasses.fields(first.config.division)}
    mine, theirs = first.settings, second.settings
    return [name for name in mine if name not in about and mine[name] != theirs[name]]
