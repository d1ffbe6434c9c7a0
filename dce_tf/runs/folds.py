"""Cross-validation: a run for each fold of the training classes, and their mean."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from rich.table import Table

from dce_tf.base.files import write_json
from dce_tf.config import Config
from dce_tf.record.run_directory import RunDirectory, best_line
from dce_tf.reports.display import Display
from dce_tf.runs.train import train


def folds_file(config: Config) -> Path:
    """Returns where the summary of all folds belongs: beside their run directories."""
    run = RunDirectory.of(config.replace(fold=None))
    return run.path.with_name(f"{run.path.name}-folds.json")


def cross_validate(config: Config, display: Display | None = None) -> dict[str, Any]:
    """Trains `num_folds` runs, each choosing its best epoch on another fold.

    Runs that are done are not trained again, and one that was stopped goes on.

    Args:
        config: The settings; `fold` is not set.
        display: Where to print; standard output by default.

    Returns:
        `runs`, their directories, and for `val`, the fold held out, and `test`: each
        metric's `mean`, `std` (of a sample, divided by n − 1) and `values`, one a fold.
        It is also written to `folds_file(config)`.

    Raises:
        UsageError: As `train`.
        ValueError: As `train`.
    """
    display = display or Display()
    runs, val, test = [], [], []
    for fold in range(config.data.num_folds):
        one = config.replace(fold=fold)
        display.note(f"Fold {fold}, {fold + 1} of {config.data.num_folds}.")
        keras.utils.clear_session()
        test.append(train(one, display=display)["after"])
        run = RunDirectory.of(one)
        runs.append(run.path.name)
        best = best_line(run.metrics()) or {}
        val.append({metric: best[metric] for metric in test[-1] if metric in best})
    result = {"runs": runs, "val": _summary(val), "test": _summary(test)}
    path = folds_file(config)
    write_json(path, result)
    display.console.print(_table(result))
    display.note(f"Written: {path}")
    return result


def _summary(scores: Sequence[dict[str, float]]) -> dict[str, Any]:
    return {
        metric: {
            "mean": float(np.mean([each[metric] for each in scores])),
            "std": float(np.std([each[metric] for each in scores], ddof=1)),
            "values": [each[metric] for each in scores],
        }
        for metric in scores[0]
    }


def _table(result: dict[str, Any]) -> Table:
    table = Table(title=f"Mean ± standard deviation of {len(result['runs'])} folds")
    for column in ("metric", "val, the fold held out", "test"):
        table.add_column(column, justify="left" if column == "metric" else "right")
    for metric in result["test"]:
        cells = (_cell(result[split].get(metric)) for split in ("val", "test"))
        table.add_row(metric, *cells)
    return table


def _cell(summary: dict[str, Any] | None) -> str:
    return f"{summary['mean']:.4f} ± {summary['std']:.4f}" if summary else ""
