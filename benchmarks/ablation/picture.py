"""The picture of docs/ablation.md: what each idea gives on each set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.ablation.ideas import BASELINE, IDEAS, REGULARISED, SETS
from benchmarks.ablation.results import DOCS, Row, interval, paired
from dce_tf.reports.figures import colour, new_figure, save, tidy

PICTURE = DOCS / "ablation.png"
_FEWEST_SEEDS = 3


def draw(rows: Sequence[Row], loss: str, epochs: int, path: Path = PICTURE) -> None:
    """Draws the gains over K = 1 of ideas that three seeds or more were run of.

    Args:
        rows: All runs.
        loss: Whose runs are drawn.
        epochs: How long they were.
        path: The PNG to write.
    """
    rows = [row for row in rows if (row["loss"], row["epochs"]) == (loss, str(epochs))]
    gains = {
        (data, idea): differences
        for data in SETS
        for idea in IDEAS
        if idea != BASELINE
        and len(differences := _gains(rows, data, idea)) >= _FEWEST_SEEDS
    }
    ideas = [idea for idea in IDEAS if any(idea == name for _, name in gains)]
    if not ideas:
        return
    figure = new_figure(11, 1.2 + 0.34 * len(ideas))
    panels = figure.subplots(1, len(SETS), sharex=True, sharey=True)
    for axes, data in zip(panels, SETS, strict=True):
        tidy(axes)
        axes.axvline(0, color="black", linewidth=1)
        for height, idea in enumerate(reversed(ideas)):
            if (data, idea) not in gains:
                continue
            mean, low, high = interval(gains[data, idea])
            shade = colour(1 if idea == REGULARISED else 0)
            axes.plot([low, high], [height, height], color=shade, linewidth=1.5)
            axes.plot(mean, height, "o", color=shade, markersize=5)
            if idea == REGULARISED:
                axes.axvline(mean, color=shade, linewidth=1, linestyle=":")
        axes.set_title(data)
        axes.set_xlabel(f"MAP@R over {BASELINE}")
    panels[0].set_yticks(range(len(ideas)), list(reversed(ideas)))
    save(figure, path)


def _gains(rows: Sequence[Row], data: str, idea: str) -> list[float]:
    own, baseline = (
        [row for row in rows if (row["set"], row["idea"]) == (data, name)]
        for name in (idea, BASELINE)
    )
    return paired(own, baseline, "best_map@r")
