"""The plots of a run: recall over the epochs, and distances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dce_tf.record import SELECTED_BY, value_of
from dce_tf.record.run_directory import Metrics, best_line
from dce_tf.reports.figures import add_legend, colour, new_figure, save, tidy

STAGE_SHADES = {"head": "#eef7ee", "full_embedding": "#eef4fa", "finetune": "#fdf3e7"}


def plot_recall(history: Sequence[Metrics], path: Path) -> None:
    """Draws the scores and the loss of each epoch.

    Args:
        history: The lines of metrics.jsonl; epoch −1 is before training, drawn at 0.
        path: Where to write the PNG.
    """
    scored = [line for line in history if line.get(SELECTED_BY[0]) is not None]
    if scored:
        save(draw_recall(history, scored), path)


def draw_recall(history: Sequence[Metrics], scored: Sequence[Metrics]) -> Figure:
    """Returns the figure of `plot_recall`.

    Args:
        history: The lines of metrics.jsonl.
        scored: Those of them that have scores, at least one.
    """
    figure = new_figure(7.5, 4.5)
    axes = figure.add_subplot()
    _shade_stages(axes, history)
    epochs = [line["epoch"] + 1 for line in scored]
    keys = [key for key in scored[-1] if value_of(key).plotted]
    rows = [[line.get(key) for line in scored] for key in keys]
    curves = np.array(rows, np.float64)  # None becomes NaN.
    for number, (key, curve) in enumerate(zip(keys, curves, strict=True)):
        axes.plot(epochs, curve, "o-", markersize=3, color=colour(number), label=key)
    best = best_line(history)
    if best is not None:
        height = best[SELECTED_BY[0]]
        axes.plot(best["epoch"] + 1, height, "*", markersize=14, color=colour(0))
    split = scored[-1].get("evaluated_on", "val")
    note = (
        "TEST, on which the best epoch was selected"
        if split == "test"
        else "validation classes"
    )
    axes.set_title(f"Scores on the {note}", pad=18)
    axes.set(
        xlabel="epochs trained",
        ylabel="score",
        ylim=_fit(curves),
    )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    tidy(axes)
    add_legend(figure, axes)
    return figure


def _fit(curves: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Returns the limits of an axis for scores in [0, 1], a little wider than they."""
    low, high = float(np.nanmin(curves)), float(np.nanmax(curves))
    margin = max(0.06 * (high - low), 0.01)
    return max(low - margin, -0.01), min(high + margin, 1.02)


def _shade_stages(axes: Any, history: Sequence[Metrics]) -> None:
    for stage, shade in STAGE_SHADES.items():
        epochs = [line["epoch"] + 1 for line in history if line.get("stage") == stage]
        if epochs:
            axes.axvspan(min(epochs) - 0.5, max(epochs) + 0.5, color=shade, zorder=0)
            axes.text(
                min(epochs) - 0.45,
                1.015,  # Above the axes, where no curve goes.
                stage.replace("_", " "),
                transform=axes.get_xaxis_transform(),
                fontsize=8,
                color="#555555",
            )


def plot_distances(
    before: Mapping[str, npt.NDArray[np.float32]],
    after: Mapping[str, npt.NDArray[np.float32]],
    path: Path,
) -> None:
    """Draws how far pairs of one class and of two lie apart, before and after.

    Args:
        before: Euclidean distances, 0 to 2, by kind of pair.
        after: The same after training.
        path: Where to write the PNG.
    """
    figure = new_figure(7.5, 4)
    bins = np.linspace(0, 2, 81)
    above, below = figure.subplots(2, 1, sharex=True)
    for axes, title, kinds in (
        (above, "before training", before),
        (below, "after", after),
    ):
        for number, (kind, distances) in enumerate(kinds.items()):
            axes.hist(
                distances,
                bins,
                density=True,
                histtype="stepfilled",  # One patch: of 80 bars each takes its time.
                alpha=0.55,
                color=colour(number),
                label=kind,
            )
        axes.set_title(title, fontsize=9, loc="left")
        axes.set_ylabel("density")
        tidy(axes)
    add_legend(figure, above, "pairs")
    below.set_xlabel("Euclidean distance between embeddings")
    save(figure, path)
