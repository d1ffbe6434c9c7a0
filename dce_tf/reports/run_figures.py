"""Figures that lay several runs beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dce_tf.record import PARTS, value_of
from dce_tf.record.run_directory import Metrics
from dce_tf.reports.figures import add_legend, colour, new_figure, tidy

Values = npt.NDArray[np.float64]


def draw_curves(
    histories: Mapping[str, Sequence[Sequence[Metrics]]], key: str
) -> Figure:
    """Draws a value over the epochs, one line per group of runs.

    Args:
        histories: By group, the lines of `metrics.jsonl` of each of its runs. A group
            of several is drawn as their mean, shaded by its 95 % interval.
        key: Of the value.
    """
    figure = new_figure(6.5, 3.4)
    axes = figure.add_subplot()
    for number, (name, runs) in enumerate(histories.items()):
        epochs, values = _curve(runs, key)
        mean, reach = mean_and_reach(values)
        axes.plot(epochs, mean, "o-", markersize=3, color=colour(number), label=name)
        if len(runs) > 1:
            band = mean - reach, mean + reach
            if value_of(key).unit == "score":
                band = np.maximum(band[0], 0), np.minimum(band[1], 1)
            axes.fill_between(epochs, *band, color=colour(number), alpha=0.2)
    axes.set(xlabel="epochs trained", ylabel=key)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    tidy(axes)
    add_legend(figure, axes)
    return figure


def _curve(runs: Sequence[Sequence[Metrics]], key: str) -> tuple[list[int], Values]:
    """Returns the epochs that all runs have the value of, and it by run and epoch."""
    found = [
        {line["epoch"] + 1: line[key] for line in run if line.get(key) is not None}
        for run in runs
    ]
    epochs = sorted(set.intersection(*(set(each) for each in found)))
    return epochs, np.array([[each[epoch] for epoch in epochs] for each in found])


def mean_and_reach(values: Values) -> tuple[Values, Values]:
    """Returns the mean of the first axis, and half of its 95 % interval.

    Args:
        values: `(num_runs, …)`. The interval is Student's t over the runs; of one run
            it is 0 wide, as nothing is known of it.
    """
    from scipy import stats

    count = len(values)
    mean = values.mean(axis=0)
    if count < 2:
        return mean, np.zeros_like(mean)
    error = values.std(axis=0, ddof=1) / np.sqrt(count)
    return mean, float(stats.t.ppf(0.975, count - 1)) * error


def draw_times(seconds: Mapping[str, Mapping[str, float]]) -> Figure:
    """Draws where the time of each run went.

    Args:
        seconds: By run, the seconds of each of `record.PARTS`.
    """
    figure = new_figure(7.5, 1.2 + 0.45 * len(seconds))
    axes = figure.add_subplot()
    left = np.zeros(len(seconds))
    for number, part in enumerate(PARTS):
        width = np.array([each.get(part.key, 0.0) for each in seconds.values()])
        axes.barh(
            range(len(seconds)),
            width,
            left=left,
            color=colour(number),
            label=part.meaning,
        )
        left += width
    axes.set_yticks(range(len(seconds)), list(seconds))
    axes.invert_yaxis()
    axes.set_xlabel("seconds")
    tidy(axes)
    add_legend(figure, axes)
    return figure


def draw_masks(masks: Values) -> Figure:
    """Draws the masks of the learners as a heat-map.

    Args:
        masks: `(num_learners, embedding_dim)`, 0 or more.
    """
    figure = new_figure(7.5, 0.9 + 0.3 * len(masks))
    axes = figure.add_subplot()
    image: Any = axes.imshow(masks, aspect="auto", cmap="cividis", vmin=0)
    axes.set(xlabel="component of the embedding", ylabel="learner")
    axes.set_yticks(range(len(masks)), [str(1 + each) for each in range(len(masks))])
    figure.colorbar(image, ax=axes)
    return figure


def draw_sizes(lines: Sequence[Mapping[str, Any]]) -> Figure:
    """Draws recall@1 against the bytes of an embedding.

    Args:
        lines: Each with `bytes`, `kind` and `recall@1`.
    """
    figure = new_figure(6.5, 3.4)
    axes = figure.add_subplot()
    for number, kind in enumerate(dict.fromkeys(line["kind"] for line in lines)):
        own = [line for line in lines if line["kind"] == kind]
        axes.plot(
            [line["bytes"] for line in own],
            [line["recall@1"] for line in own],
            "o-",
            markersize=4,
            color=colour(number),
            label=kind,
        )
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set(xlabel="bytes per image", ylabel="recall@1")
    tidy(axes)
    add_legend(figure, axes)
    return figure
