"""The end of a run: the test score of the best epoch, pictures, export, report."""

from __future__ import annotations

import shlex
from typing import Any

from rich.table import Table

from dce_tf.base.files import write_text
from dce_tf.base.program import PROGRAM
from dce_tf.base.threads import beside
from dce_tf.config import Config
from dce_tf.datasets import Splits
from dce_tf.evaluation.evaluator import Evaluation
from dce_tf.evaluation.open_set_scores import score_open_set
from dce_tf.network.backbones.model_file import read_model
from dce_tf.network.model import EmbeddingModel
from dce_tf.record import PARTS, format_seconds, format_value, value_of
from dce_tf.record.run_directory import RunDirectory, best_line
from dce_tf.reports.display import Display
from dce_tf.reports.scores import (
    SELECTED_ON_TEST,
    open_set_lines,
    scores_table,
    source_tables,
)
from dce_tf.reports.tensorboard import TensorBoardWriter
from dce_tf.runs.environment import environment
from dce_tf.runs.evaluating import build_evaluator
from dce_tf.runs.exporting import export_run
from dce_tf.runs.session import build_extractor
from dce_tf.runs.snapshot import Snapshot, snapshot_file, take_snapshot
from dce_tf.training.checkpoints import Checkpoints, RunProgress
from dce_tf.training.pipelines import PictureReader


def load_best_model(run: RunDirectory) -> EmbeddingModel:
    """Reads the model of a run's best epoch, as a plain one-device model.

    Raises:
        ValueError: If the run has not got so far.
    """
    path = Checkpoints(run.checkpoints).best_model
    if not path.is_file():
        raise ValueError(f"{run.path} has no {path.name} yet: no epoch was evaluated.")
    model: EmbeddingModel = read_model(path, str(path))
    return model


def conclude(
    config: Config,
    splits: Splits,
    reader: PictureReader,
    run: RunDirectory,
    progress: RunProgress,
    display: Display,
) -> dict[str, Any]:
    """Scores the best epoch on the test split, draws, exports and writes the report.

    Args:
        config: The settings.
        splits: The data.
        reader: Where its pictures come from.
        run: Where everything goes.
        progress: How the training went.
        display: Shows what is being done.

    Returns:
        The report.
    """
    best = best_line(progress.history)
    if best is None:
        raise ValueError(
            f"{run.path}: no epoch was evaluated, so there is no best one. A callback "
            f"ended the training with epoch {progress.epoch + 1}, before the first "
            f"evaluation: --evaluate_every={config.evaluation.evaluate_every}. Use "
            "--evaluate_every=1 with another --exp or --overwrite."
        )
    model = load_best_model(run)
    extractor = build_extractor(model, config.data, reader)
    evaluator = build_evaluator(
        extractor, splits, config.evaluation, config.run, display
    )
    evaluations = evaluator.evaluate(splits.tests, "test, best epoch")
    after = evaluations[0]
    before = Snapshot.load(snapshot_file(run, "before"))
    snapshot = take_snapshot(after, queries=before.queries, backend=config.run.backend)
    snapshot.save(snapshot_file(run, "after"))
    tests = {each.search.name: each.as_json() for each in evaluations}
    report = {
        "before": progress.before,
        "after": after.scores,
        "intervals": tests[after.search.name]["intervals"],
        "best_epoch": best["epoch"],
        "selected_on": config.evaluation.select_on,
        "tests": tests,
        "open_set": (
            score_open_set(evaluator, splits, after) if splits.open_set else None
        ),
        "seconds": sum(line.get("seconds") or 0.0 for line in progress.history),
        "export": None,
        "teacher": run.teacher(),
        "warnings": [
            *splits.warnings,
            *after.notes,
            *(each["text"] for each in run.warnings()),
        ],
        "environment": environment(),
    }
    write_text(run.labels_file, "".join(f"{n}\n" for n in splits.train.class_names))
    _write_hparams(run, config, report)
    with beside(_draw, run, splits, progress.history, after) as wait:
        if config.run.export:
            # A run that fails in drawing comes here again, so it has no version yet.
            exported = export_run(run, model, report, wait=wait)
            report["export"] = str(exported.relative_to(run.path))
    run.write_report(report)
    return report


def _draw(
    run: RunDirectory,
    splits: Splits,
    history: list[dict[str, Any]],
    after: Evaluation,
) -> None:
    # What draws is not loaded before there is something to draw.
    from dce_tf.runs.pictures import draw_plots, draw_snapshots, show_projector

    draw_plots(run, history)
    draw_snapshots(run, splits, len(history) - 1)
    show_projector(run, splits.gallery, after.gallery)


def _write_hparams(run: RunDirectory, config: Config, report: dict[str, Any]) -> None:
    # In a folder of its own, or TensorBoard would take every scalar for a score.
    writer = TensorBoardWriter(run.tensorboard / "test")
    metrics = {f"test/{key}": value for key, value in report["after"].items()}
    writer.hparams(run.path.name, config.identity(), metrics)
    writer.close()


def where_time_went(history: list[dict[str, Any]]) -> str:
    """Returns a line with the share of each part of the training's seconds."""
    seconds = {
        part.meaning: sum(line.get(part.key) or 0.0 for line in history)
        for part in PARTS
    }
    total = sum(seconds.values()) or 1.0
    parts = sorted(seconds.items(), key=lambda part: -part[1])
    line = ", ".join(f"{text} {spent / total:.0%}" for text, spent in parts)
    hint = ""
    if seconds[value_of("seconds_data").meaning] > 0.2 * total:
        hint = ". Images come too slowly: try --cache_images"
    return f"Time: {line}{hint}."


def show_report(report: dict[str, Any], run: RunDirectory, display: Display) -> None:
    """Prints the scores before and after, and what to try next."""
    which = SELECTED_ON_TEST if report["selected_on"] == "test" else "best epoch"
    table = Table(title=f"Test scores, {which}: {report['best_epoch'] + 1}")
    for column in ("metric", "before", "after", "95 % interval"):
        table.add_column(column, justify="left" if column == "metric" else "right")
    for key, after in report["after"].items():
        low, high = report["intervals"].get(key, (None, None))
        before, low, high = (
            "" if number is None else format_value(key, number)
            for number in (report["before"][key], low, high)
        )
        interval = f"{low} to {high}" if low else ""
        table.add_row(key, before, format_value(key, after), interval)
    display.console.print(table)
    if len(report["tests"]) > 1:
        display.console.print(scores_table(report["tests"]))
    for table in source_tables(report["tests"]):
        display.console.print(table)
    for line in open_set_lines(report["open_set"]) if report["open_set"] else ():
        display.note(line)
    display.note(
        f"Run directory: {run.path} (trained for {format_seconds(report['seconds'])})"
    )
    display.note(where_time_went(run.metrics()))
    for warning in report.get("warnings", ()):
        display.note(f"Warning: {warning}")
    display.try_next(*_next_commands(report, run))


def _next_commands(report: dict[str, Any], run: RunDirectory) -> list[str]:
    """Returns the commands that lead on from a run: to its page, to more of it."""
    path, all_runs = (
        shlex.quote(str(run.path)),
        shlex.quote(str(run.path.parent.parent)),
    )
    index = shlex.quote(str(run.path / "index"))
    return [
        *([] if report["export"] else [f"{PROGRAM} export {path}"]),
        f"{PROGRAM} embed {path}",
        f"{PROGRAM} index {shlex.quote(str(run.embeddings))}",
        f"{PROGRAM} serve {path} --index={index}",
        f"{PROGRAM} evaluate --run={path}",
        f"{PROGRAM} browse {all_runs}",
        f"tensorboard --logdir={all_runs}",
    ]
