"""Thresholds and what they do, as tables and as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

from dce_tf.reports.figures import add_legend, colour, new_figure, save, tidy

Results = Mapping[str, Mapping[str, Any]]
"""What `evaluation.verification` returns of each test, by name."""

_NOT_CARRIED = "too few"


def verification_table(results: Results) -> Table:
    """Returns a column for each test and a row for each number.

    Args:
        results: Of `score_verification`.
    """
    table = _new_table(
        "Are two images of one class? By the cosine of all pairs", results
    )
    for title, key, form in (
        ("pairs of one class", "positive_pairs", ","),
        ("pairs of two", "negative_pairs", ","),
        ("AUC", "auc", ".4f"),
        ("EER", "eer", ".4f"),
    ):
        table.add_row(title, *(f"{each[key]:{form}}" for each in results.values()))
    for far in next(iter(results.values()))["tar_at_far"]:
        rates = [each["tar_at_far"][far] for each in results.values()]
        table.add_row(f"TAR at FAR {far} (cosine)", *map(_rate_cell, rates))
    scores = (each["opis"] for each in results.values())
    table.add_row(
        "OPIS, FAR 0.01 to 0.1",
        *(_NOT_CARRIED if each is None else f"{each:.2e}" for each in scores),
    )
    return table


def _rate_cell(rate: Mapping[str, float] | None) -> str:
    if rate is None:
        return _NOT_CARRIED
    return f"{rate['tar']:.4f} ({rate['threshold']:.4f})"


def identification_table(results: Results) -> Table:
    """Returns a column for each test and a row for each rate.

    Args:
        results: Of `score_identification`.
    """
    table = _new_table(
        "Which class, or unknown? Each query once with its class, once without", results
    )
    for far in next(iter(results.values()))["dir_at_far"]:
        rates = [each["dir_at_far"][far] for each in results.values()]
        table.add_row(f"DIR at FAR {far} (cosine)", *map(_identified_cell, rates))
    return table


def _identified_cell(rate: Mapping[str, Any] | None) -> str:
    if rate is None:
        return _NOT_CARRIED
    low, high = rate["interval"]
    return f"{rate['dir']:.4f} [{low:.3f}, {high:.3f}] ({rate['threshold']:.4f})"


def _new_table(title: str, results: Results) -> Table:
    table = Table(title=title)
    table.add_column("", no_wrap=True)
    for name in results:
        table.add_column(name, justify="right")
    return table


def plot_roc(results: Results, path: Path, title: str) -> None:
    """Writes the figure of `draw_roc` as PNG, with a title above."""
    figure = draw_roc(results)
    figure.axes[0].set_title(title, fontsize=10, loc="left")
    save(figure, path)


def draw_roc(results: Results) -> Figure:
    """Draws TAR against FAR, on a logarithmic scale, one line per test.

    Args:
        results: Of `score_verification`.
    """
    figure = new_figure(6.5, 4)
    axes = figure.add_subplot()
    for number, (name, result) in enumerate(results.items()):
        _, far, tar = np.transpose(result["roc"])
        seen = far > 0
        axes.plot(far[seen], tar[seen], color=colour(number), label=name)
    axes.set_xscale("log")
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("pairs of two classes that are accepted (FAR)")
    axes.set_ylabel("pairs of one class accepted (TAR)")
    add_legend(figure, axes)
    tidy(axes)
    return figure


def draw_thresholds(results: Results) -> Figure:
    """Draws what a threshold accepts of pairs of one class and of two, per test.

    Args:
        results: Of `score_verification`.
    """
    figure = new_figure(6.5, 4)
    axes = figure.add_subplot()
    for number, (name, result) in enumerate(results.items()):
        threshold, far, tar = np.transpose(result["roc"])
        for rates, line, what in ((tar, "solid", "one class"), (far, "dashed", "two")):
            label = f"{name}: pairs of {what}"
            axes.plot(
                threshold, rates, linestyle=line, color=colour(number), label=label
            )
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("threshold (cosine)")
    axes.set_ylabel("share of the pairs that is accepted")
    add_legend(figure, axes)
    tidy(axes)
    return figure
