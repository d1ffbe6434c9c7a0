"""One combination of settings, and the runs that try it."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dce_tf.base.errors import UsageError, noted_if_stopped
from dce_tf.config import Config
from dce_tf.record.run_directory import RunDirectory, best_line
from dce_tf.reports.display import Display
from dce_tf.runs.loading import read_splits
from dce_tf.runs.own_data import other_data
from dce_tf.sweep.processes import run_in_process
from dce_tf.sweep.space import Settings

_KEPT = (
    "The same command goes on: runs that are done are kept, and the one that was "
    "stopped goes on from its last checkpoint if it has one."
)
METRICS = ("recall@1", "map@r")


def configs_of(base: Config, settings: Settings, seeds: Sequence[int]) -> list[Config]:
    """Returns the run of each seed, with a name made of what varies.

    Raises:
        UsageError: If the combination cannot work.
    """
    words = [f"{name}={value}" for name, value in settings.items()]
    label = re.sub(r"[^\w.=+-]+", "_", "-".join(words)).strip("_")
    if len(label) > 80:
        digest = hashlib.sha256(label.encode()).hexdigest()[:8]
        label = f"{label[:70]}-{digest}"
    return [
        base.replace(
            **settings, random_seed=seed, exp=f"{base.run.exp}-{label}-seed-{seed}"
        )
        for seed in seeds
    ]


@dataclasses.dataclass(frozen=True)
class Variant:
    """One combination of settings and what its runs reached.

    Attributes:
        settings: What varies.
        scores: Of each metric, the best epoch's value on the held-out classes, a seed
            each.
        seconds: Of training, a seed each.
        failed: Why runs without a score have none.
    """

    settings: Settings
    scores: dict[str, list[float]]
    seconds: list[float]
    failed: list[str]

    def mean(self, metric: str) -> float:
        """Returns the mean over seeds; NaN if a run failed."""
        values = self.scores[metric]
        return float(np.mean(values)) if values and not self.failed else math.nan

    def text(self, metric: str, sign: str = "±") -> str:
        """Returns mean ± standard deviation of a sample."""
        values = self.scores[metric]
        if not values:
            return "failed"
        if len(values) == 1:
            return f"{values[0]:.4f}"
        return f"{np.mean(values):.4f} {sign} {np.std(values, ddof=1):.4f}"


def run_variant(
    settings: Settings, configs: Sequence[Config], output: Path, display: Display
) -> Variant:
    """Trains the runs of a combination, each in a process of its own.

    Runs that are done are not started again, and one that was stopped goes on.

    Args:
        settings: What varies.
        configs: The run of each seed.
        output: To this file goes what the runs print.
        display: Shows one line per run.
    """
    scores: dict[str, list[float]] = {metric: [] for metric in METRICS}
    seconds, failed = [], []
    for config in configs:
        run = RunDirectory.of(config)
        with noted_if_stopped(lambda: _KEPT):
            reason = "" if _is_done(run, config) else run_in_process(config, output)
        if reason:
            failed.append(f"seed {config.run.random_seed}: {reason}")
            display.note(f"{run.path.name}: failed. {reason}")
            continue
        best = best_line(run.metrics()) or {}
        for metric in METRICS:
            scores[metric].append(float(best[metric]))
        seconds.append(sum(line.get("seconds", 0.0) for line in run.metrics()))
        found = "  ".join(f"{metric} {scores[metric][-1]:.4f}" for metric in METRICS)
        display.note(f"{run.path.name}: {found} (val)")
    return Variant(settings, scores, seconds, failed)


def _is_done(run: RunDirectory, config: Config) -> bool:
    if config.run.overwrite or run.report() is None:
        return False
    if config.distillation.teacher is not None or run.teacher() is not None:
        return False  # The training opens the teacher, and refuses another one.
    if run.config().differences(config):
        return False
    return other_data(run, read_splits(config.data)) is None


def cannot_work(settings: Settings, error: UsageError, display: Display) -> Variant:
    """Returns what is known of a combination that is no run.

    Args:
        settings: What varies.
        error: Why it is none.
        display: Is told of it.
    """
    display.note(f"{settings}: failed. {error}")
    return Variant(settings, {metric: [] for metric in METRICS}, [], [str(error)])
