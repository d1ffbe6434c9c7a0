"""What a person sees of a run when it is done: plots, sheets, the projector."""

from __future__ import annotations

from typing import Any

import numpy as np

from dce_tf.datasets import Images, Splits
from dce_tf.evaluation.evaluator import Embeddings
from dce_tf.record.run_directory import RunDirectory
from dce_tf.reports.clusters import plot_clusters
from dce_tf.reports.neighbours_sheet import plot_neighbours
from dce_tf.reports.plots import plot_distances, plot_recall
from dce_tf.reports.tensorboard import TensorBoardWriter, write_projector
from dce_tf.reports.thumbnails import read_thumbnail
from dce_tf.runs.snapshot import Snapshot, snapshot_file
from dce_tf.training.divisions import epoch_of, load_division

PROJECTOR_IMAGES = 1000
THUMBNAIL = 48


def draw_plots(run: RunDirectory, history: list[dict[str, Any]]) -> None:
    """Draws recall over epochs and the clusters of all divisions."""
    plot_recall(history, run.plots / "recall.png")
    files = sorted(run.clusters.glob("epoch-*.npz"))
    memberships = {epoch_of(path): load_division(path).assignment for path in files}
    if memberships:
        plot_clusters(memberships, run.plots / "clusters.png")


def draw_snapshots(run: RunDirectory, splits: Splits, steps: int) -> None:
    """Draws distances, and the hardest queries, untrained and at the best epoch."""
    before = Snapshot.load(snapshot_file(run, "before"))
    after = Snapshot.load(snapshot_file(run, "after"))
    plot_distances(before.distances, after.distances, run.plots / "distances.png")
    shown = after.hardest(splits.query, splits.gallery)
    sheet = plot_neighbours(
        before.neighbours_in(splits.query, splits.gallery, shown),
        after.neighbours_in(splits.query, splits.gallery, shown),
        run.plots / "neighbours.png",
    )
    writer = TensorBoardWriter(run.tensorboard)
    writer.image("hardest queries before and after", sheet, steps)
    for step, snapshot in ((0, before), (steps, after)):
        for kind, distances in snapshot.distances.items():
            writer.histogram(f"distances/{kind}", distances, step)
    writer.close()


def show_projector(run: RunDirectory, images: Images, embeddings: Embeddings) -> None:
    """Writes some of the gallery for TensorBoard's projector."""
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
