"""The end of a run: the test score of the best epoch, pictures, export, report."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from rich.table import Table

from dce_tf.config import Config
from dce_tf.datasets import Images, Splits
from dce_tf.files import write_text
from dce_tf.model import EmbeddingModel
from dce_tf.pipelines import PictureReader
from dce_tf.reports.clusters import plot_clusters
from dce_tf.reports.neighbours_sheet import plot_neighbours
from dce_tf.reports.plots import plot_distances, plot_recall
from dce_tf.reports.scores import SELECTED_ON_TEST, open_set_lines, scores_table
from dce_tf.reports.tensorboard import TensorBoardWriter, write_projector
from dce_tf.reports.thumbnails import read_thumbnail
from dce_tf.run_directory import RunDirectory, best_line
from dce_tf.runs.environment import environment
from dce_tf.runs.exporting import export_run
from dce_tf.runs.open_set import score_open_set
from dce_tf.runs.session import build_evaluator, build_extractor
from dce_tf.runs.snapshot import Snapshot, snapshot_file, take_snapshot
from dce_tf.training.checkpoints import Checkpoints, Progress
from dce_tf.training.display import Display, format_seconds
from dce_tf.training.evaluation import Embeddings
from dce_tf.training.recluster import epoch_of, load_division

PROJECTOR_IMAGES = 1000
THUMBNAIL = 48


def load_best_model(run: RunDirectory) -> EmbeddingModel:
    """Reads the model of a run's best epoch, as a plain one-device model.

    Raises:
        ValueError: If the run has not got so far.
    """
    path = Checkpoints(run.checkpoints).best_model
    if not path.is_file():
        raise ValueError(f"{run.path} has no {path.name} yet: no epoch was evaluated.")
    model: EmbeddingModel = keras.models.load_model(path, compile=False)
    return model


def conclude(
    config: Config,
    splits: Splits,
    reader: PictureReader,
    run: RunDirectory,
    progress: Progress,
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
            f"{run.path}: no epoch was evaluated, so there is no best one."
        )
    model = load_best_model(run)
    extractor = build_extractor(model, config, reader)
    evaluator = build_evaluator(extractor, config, splits, display)
    evaluations = evaluator.evaluate(splits.tests, "test, best epoch")
    after = evaluations[0]
    snapshot = take_snapshot(after, backend=config.backend)
    snapshot.save(snapshot_file(run, "after"))
    draw_plots(run, progress.history)
    _draw_snapshots(run, splits, len(progress.history) - 1)
    _write_projector(run, splits.gallery, after.gallery)
    tests = {each.search.name: each.as_json() for each in evaluations}
    report = {
        "before": progress.before,
        "after": after.scores,
        "intervals": tests[after.search.name]["intervals"],
        "best_epoch": best["epoch"],
        "selected_on": config.select_on,
        "tests": tests,
        "open_set": (
            score_open_set(evaluator, splits, after) if splits.open_set else None
        ),
        "seconds": sum(metrics.get("seconds", 0.0) for metrics in progress.history),
        "export": None,
        "warnings": list(splits.warnings),
        "environment": environment(),
    }
    write_text(run.labels_file, "".join(f"{n}\n" for n in splits.train.class_names))
    if config.export:
        exported = export_run(run, model, report)
        report["export"] = str(exported.relative_to(run.path))
    _write_hparams(run, config, report)
    run.write_report(report)
    return report


def draw_plots(run: RunDirectory, history: list[dict[str, Any]]) -> None:
    """Draws recall over epochs and the clusters of all divisions."""
    plot_recall(history, run.plots / "recall.png")
    files = sorted(run.clusters.glob("epoch-*.npz"))
    memberships = {epoch_of(path): load_division(path).assignment for path in files}
    if memberships:
        plot_clusters(memberships, run.plots / "clusters.png")


def _draw_snapshots(run: RunDirectory, splits: Splits, steps: int) -> None:
    before = Snapshot.load(snapshot_file(run, "before"))
    after = Snapshot.load(snapshot_file(run, "after"))
    plot_distances(before.distances, after.distances, run.plots / "distances.png")
    sheet = plot_neighbours(
        before.neighbours_in(splits.query, splits.gallery),
        after.neighbours_in(splits.query, splits.gallery),
        run.plots / "neighbours.png",
    )
    writer = TensorBoardWriter(run.tensorboard)
    writer.image("nearest neighbours before and after", sheet, steps)
    for step, snapshot in ((0, before), (steps, after)):
        for kind, distances in snapshot.distances.items():
            writer.histogram(f"distances/{kind}", distances, step)
    writer.close()


def _write_projector(run: RunDirectory, images: Images, embeddings: Embeddings) -> None:
    rng = np.random.default_rng(0)
    rows = np.sort(
        rng.choice(len(images), min(PROJECTOR_IMAGES, len(images)), replace=False)
    )
    write_projector(
        run.tensorboard,
        embeddings[rows],
        [images.class_names[label] for label in images.labels[rows]],
        np.stack([read_thumbnail(images.paths[row], THUMBNAIL) for row in rows]),
    )


def _write_hparams(run: RunDirectory, config: Config, report: dict[str, Any]) -> None:
    writer = TensorBoardWriter(run.tensorboard)
    metrics = {f"test/{key}": value for key, value in report["after"].items()}
    writer.hparams(run.path.name, config.identity(), metrics)
    writer.close()


PARTS = {
    "data": "waiting for images",
    "step": "steps",
    "features": "features to cluster",
    "kmeans": "k-means",
    "division": "division",
    "evaluate": "evaluation",
    "checkpoint": "checkpoints",
}


def where_time_went(history: list[dict[str, Any]]) -> str:
    """Returns a line with the share of each part of the training's seconds."""
    seconds = {
        text: sum(line.get(f"seconds_{name}", 0.0) for line in history)
        for name, text in PARTS.items()
    }
    total = sum(seconds.values()) or 1.0
    parts = sorted(seconds.items(), key=lambda part: -part[1])
    line = ", ".join(f"{text} {spent / total:.0%}" for text, spent in parts)
    hint = ""
    if seconds[PARTS["data"]] > 0.2 * total:
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
        interval = "" if low is None else f"{low:.4f} to {high:.4f}"
        table.add_row(key, f"{report['before'][key]:.4f}", f"{after:.4f}", interval)
    display.console.print(table)
    if len(report["tests"]) > 1:
        display.console.print(scores_table(report["tests"]))
    for line in open_set_lines(report["open_set"]) if report["open_set"] else ():
        display.note(line)
    display.note(
        f"Run directory: {run.path} (trained for {format_seconds(report['seconds'])})"
    )
    display.note(where_time_went(run.metrics()))
    display.note("Try next:")
    display.note(f"  python main.py evaluate --run={run.path}")
    display.note(f"  python main.py browse {run.path.parent.parent}")
    display.note(f"  tensorboard --logdir={run.path.parent.parent}")
