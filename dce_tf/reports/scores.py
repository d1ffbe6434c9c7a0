"""What was scored, as a table and as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from dce_tf.reports.figures import add_legend, colour, new_figure, save, tidy

SELECTED_ON_TEST = "best epoch SELECTED ON TEST"
"""How reports mark the scores of a run whose test split chose the epoch."""

Results = Mapping[str, Mapping[str, Any]]
"""`Evaluation.as_json` of each search, by name."""


def scores_table(results: Results, title: str | None = None) -> Table:
    """Returns a column for each search and a row for each metric.

    A score stands with its 95 % interval over classes, or with ± its standard deviation
    over several runs of k-means.

    Args:
        results: The scores.
        title: Stands above.
    """
    table = Table(title=title)
    table.add_column("metric", no_wrap=True)
    for name in results:
        table.add_column(name, justify="right")
    metrics = dict.fromkeys(key for each in results.values() for key in each["scores"])
    for metric in metrics:
        table.add_row(metric, *(_cell(each, metric) for each in results.values()))
    return table


def _cell(result: Mapping[str, Any], metric: str) -> str:
    if metric not in result["scores"]:
        return ""
    text = f"{result['scores'][metric]:.4f}"
    if metric in result["intervals"]:
        low, high = result["intervals"][metric]
        return f"{text} [{low:.3f}, {high:.3f}]"
    if metric in result["deviations"]:
        return f"{text} ± {result['deviations'][metric]:.4f}"
    return text


def source_tables(results: Results) -> list[Table]:
    """Returns a table for each united search: what queries of each source find in it.

    Args:
        results: The scores.
    """
    tables = []
    for name, result in results.items():
        if by_source := result.get("by_source"):
            table = Table(title=f"Search {name!r}, by the source of the query")
            table.add_column("metric", no_wrap=True)
            for source in by_source:
                table.add_column(source, justify="right")
            for metric in next(iter(by_source.values())):
                scores = (each[metric] for each in by_source.values())
                table.add_row(metric, *(f"{score:.4f}" for score in scores))
            tables.append(table)
    return tables


def open_set_lines(result: Mapping[str, Any]) -> list[str]:
    """Says what `runs.open_set.score_open_set` found.

    Args:
        result: What it returned.
    """
    name, queries = result["name"], result["queries"]
    scores = "; ".join(
        f"{metric} {_cell({**result, 'deviations': {}}, metric)}"
        for metric in result["scores"]
    )
    chosen_on = result["chosen_on"]
    chosen_on = "val" if chosen_on == "val" else f"{chosen_on.upper()}: too good"
    return [
        f"With {name} among {queries} queries: {scores}.",
        f"{name} is the answer below a cosine similarity of "
        f"{result['threshold']:.4f}, chosen on {chosen_on}.",
    ]


def plot_recall_at(results: Results, path: Path, title: str) -> None:
    """Draws recall@K against K, one line per search, shaded by its 95 % interval.

    Args:
        results: The scores.
        path: Where to write the PNG.
        title: Stands above.
    """
    figure = new_figure(6.5, 4)
    axes = figure.add_subplot()
    for number, (name, result) in enumerate(results.items()):
        ks = sorted(
            int(metric.removeprefix("recall@"))
            for metric in result["scores"]
            if metric.startswith("recall@")
        )
        keys = [f"recall@{k}" for k in ks]
        values = [result["scores"][key] for key in keys]
        low, high = np.transpose([result["intervals"][key] for key in keys])
        axes.plot(ks, values, "o-", markersize=4, color=colour(number), label=name)
        axes.fill_between(ks, low, high, color=colour(number), alpha=0.15)
    axes.set_xscale("log")
    axes.set_xticks(ks, [str(k) for k in ks])
    axes.minorticks_off()
    axes.set_xlabel("K")
    axes.set_ylabel("recall@K")
    axes.set_title(title, fontsize=10, loc="left")
    add_legend(figure, axes)
    tidy(axes)
    save(figure, path)
