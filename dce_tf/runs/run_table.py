"""What there is to say of each run under a folder."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path

from rich.table import Table

from dce_tf.base.errors import UsageError
from dce_tf.record import SELECTED_BY, format_value
from dce_tf.record.run_directory import RunDirectory, best_line


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunSummary:
    """One line of the table of runs.

    Attributes:
        run: The run's folder, relative to the one looked in.
        dataset: Its data set.
        clusters: K.
        state: `done`, `running`, `stopped`, or `damaged` with what is wrong.
        epochs: Epochs done, of all.
        best_epoch: The epoch with the best recall@1 so far, counted from 1.
        selected_on: The split it was selected on: `val` or `test`.
        recall_at_1: recall@1 of that epoch on that split, 0 to 1.
        map_at_r: Its MAP@R on that split.
        test_recall_at_1: recall@1 on the test split at the end, 0 to 1.
        test_map_at_r: Its MAP@R on that split.
        seconds: What the epochs took.
        warnings: What it was warned of, by the kinds of `training.health`.
    """

    run: str
    dataset: str = ""
    clusters: int | None = None
    state: str = ""
    epochs: str = ""
    best_epoch: int | None = None
    selected_on: str = ""
    recall_at_1: float | None = None
    map_at_r: float | None = None
    test_recall_at_1: float | None = None
    test_map_at_r: float | None = None
    seconds: float | None = None
    warnings: str = ""


def list_runs(folder: Path) -> list[RunSummary]:
    """Finds the runs under a folder, the best first.

    A folder with settings alone is that of a run that never began.

    Raises:
        ValueError: If the folder is not there or holds no run.
    """
    files = sorted(folder.rglob("config.json")) if folder.is_dir() else []
    found = [run for run in map(_run_of, files) if _has_begun(run, folder)]
    if not found:
        raise ValueError(
            f"{folder}: no runs here. Name the folder given as --log_dir, or train."
        )
    runs = [_summarise(run, folder) for run in found]
    return sorted(runs, key=lambda run: run.recall_at_1 or 0.0, reverse=True)


def _run_of(config_file: Path) -> RunDirectory:
    return RunDirectory(config_file.parent)


def _has_begun(run: RunDirectory, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in run.path.relative_to(folder).parts)
    return not hidden and (run.metrics_file.is_file() or run.is_running())


def _summarise(run: RunDirectory, folder: Path) -> RunSummary:
    name = str(run.path.relative_to(folder))
    try:
        config, history, report = run.config(), run.metrics(), run.report()
        best = best_line(history) or {}
        after = report["after"] if report else {}
        first, second = SELECTED_BY
        return RunSummary(
            run=name,
            dataset=config.data.dataset,
            clusters=config.division.num_clusters,
            state="done" if report else "running" if run.is_running() else "stopped",
            epochs=f"{max(0, len(history) - 1)}/{config.division.num_epochs}",
            best_epoch=best["epoch"] + 1 if best else None,
            selected_on=best["evaluated_on"] if best else config.evaluation.select_on,
            recall_at_1=best.get(first),
            map_at_r=best.get(second),
            test_recall_at_1=after.get(first),
            test_map_at_r=after.get(second),
            seconds=sum(line.get("seconds") or 0.0 for line in history),
            warnings=" ".join(each["kind"] for each in run.warnings()),
        )
    except (json.JSONDecodeError, UsageError, KeyError, TypeError) as error:
        return RunSummary(run=name, state=f"damaged: {error}")


def as_csv(runs: Iterable[RunSummary]) -> Iterable[list[str]]:
    """Returns a header and one row per run, as text."""
    yield [field.name for field in dataclasses.fields(RunSummary)]
    for run in runs:
        yield ["" if value is None else str(value) for value in vars(run).values()]


def as_table(runs: Iterable[RunSummary]) -> Table:
    """Returns the runs as a table for the terminal."""
    runs = list(runs)
    warned = any(run.warnings for run in runs)
    table = Table()
    table.add_column("run", overflow="fold")
    table.add_column("state", overflow="fold")
    for heading in (
        "K",
        "epochs",
        "best",
        "on",
        "R@1",
        "MAP@R",
        "test R@1",
        "test MAP@R",
        "seconds",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    if warned:
        table.add_column("warnings", overflow="fold")
    for run in runs:
        first, second = SELECTED_BY
        scores = (
            (first, run.recall_at_1),
            (second, run.map_at_r),
            (first, run.test_recall_at_1),
            (second, run.test_map_at_r),
        )
        table.add_row(
            run.run,
            run.state,
            _text(run.clusters),
            run.epochs,
            _text(run.best_epoch),
            run.selected_on.upper() if run.selected_on == "test" else run.selected_on,
            *(
                "" if score is None else format_value(key, score)
                for key, score in scores
            ),
            "" if run.seconds is None else f"{run.seconds:.0f}",
            *([run.warnings] if warned else []),
        )
    return table


def _text(value: int | None) -> str:
    return "" if value is None else str(value)
