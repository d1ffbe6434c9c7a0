"""The plots of a run: recall over the epochs, and distances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.ticker import MaxNLocator

from dce_tf.reports.figures import colour, new_figure, save, tidy
from dce_tf.run_directory import Metrics, best_line

STAGE_SHADES = {"full_embedding": "#eef4fa", "finetune": "#fdf3e7"}


def plot_recall(history: Sequence[Metrics], path: Path) -> None:
    """Draws the scores and the loss of each epoch.

    Args:
        history: The lines of metrics.jsonl; epoch −1 is before training, drawn at 0.
        path: Where to write the PNG.
    """
    scored = [line for line in history if "recall@1" in line]
    if not scored:
        return
    figure = new_figure(7.5, 4.5)
    axes = figure.add_subplot()
    _shade_stages(axes, history)
    epochs = [line["epoch"] + 1 for line in scored]
    keys = [
        key
        for key in scored[-1]
        if key.startswith("recall@") or key in ("map@r", "nmi")
    ]
    for number, key in enumerate(keys):
        values = [line.get(key, np.nan) for line in scored]
        axes.plot(epochs, values, "o-", markersize=3, color=colour(number), label=key)
    best = best_line(history)
    if best is not None:
        axes.plot(
            best["epoch"] + 1, best["recall@1"], "*", markersize=14, color=colour(0)
        )
    split = scored[-1].get("evaluated_on", "val")
    note = (
        "TEST, on which the best epoch was selected"
        if split == "test"
        else "validation classes"
    )
    axes.set(
        title=f"Scores on the {note}",
        xlabel="epochs trained",
        ylabel="score",
        ylim=(0, 1.02),
    )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    tidy(axes)
    axes.legend(fontsize=8, ncols=2, loc="lower right")
    save(figure, path)


def _shade_stages(axes: Any, history: Sequence[Metrics]) -> None:
    for stage, shade in STAGE_SHADES.items():
        epochs = [line["epoch"] + 1 for line in history if line.get("stage") == stage]
        if epochs:
            axes.axvspan(min(epochs) - 0.5, max(epochs) + 0.5, color=shade, zorder=0)
            left, label = min(epochs) - 0.45, stage.replace("_", " ")
            axes.text(left, 0.02, label, fontsize=8, color="#555555")


def plot_distances(
    before: Mapping[str, npt.NDArray[np.float32]],
    after: Mapping[str, npt.NDArray[np.float32]],
    path: Path,
) -> None:
    """Draws how far pairs of one class and of two lie apart, before and after.

    Args:
        before: Euclidean distances, 0 to 2, by kind of pair.
        after: Likewise.
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
                alpha=0.55,
                color=colour(number),
                label=kind,
            )
        axes.set_title(title, fontsize=9, loc="left")
        axes.set_ylabel("density")
        tidy(axes)
    above.legend(fontsize=8, loc="upper left", title="pairs", title_fontsize=8)
    below.set_xlabel("Euclidean distance between embeddings")
    save(figure, path)
