"""What all figures share: a canvas without global state, and how they are saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dce_tf.base.files import replacing

# Okabe and Ito's colours, which the colour-blind tell apart.
COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#8C510A",
    "#555555",
)
GRID = "#e4e4e4"


def colour(number: int) -> str:
    """Returns the colour of the n-th thing of a kind."""
    return COLOURS[number % len(COLOURS)]


def new_figure(width: float, height: float, *, arranged: bool = True) -> Figure:
    """Returns an empty figure.

    Args:
        width: In inches.
        height: In inches.
        arranged: Let matplotlib find room for words around the axes.
    """
    layout: Any = "constrained" if arranged else None
    figure = Figure(figsize=(width, height), dpi=110, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def tidy(axes: Any) -> None:
    """Takes away what does not speak."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def add_legend(figure: Figure, axes: Any, title: str | None = None) -> None:
    """Names the lines of axes beside them, where the legend covers nothing.

    Args:
        figure: The figure, arranged.
        axes: Whose lines to name.
        title: Stands above the names.
    """
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside right upper",
        fontsize=8,
        title=title,
        title_fontsize=8,
        frameon=False,
    )


def save(figure: Figure, path: Path) -> npt.NDArray[np.uint8]:
    """Writes a figure as PNG, atomically.

    Returns:
        Its pixels, uint8 `(height, width, 3)`.
    """
    with replacing(path) as temporary:
        figure.savefig(temporary)
    canvas: Any = figure.canvas
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
