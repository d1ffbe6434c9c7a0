"""What all figures share: a canvas without global state, and how they are saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dce_tf.files import replacing

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


def colour(number: int) -> str:
    """Returns the colour of the n-th thing of a kind."""
    return COLOURS[number % len(COLOURS)]


def new_figure(width: float, height: float) -> Figure:
    """Returns an empty figure of a size in inches."""
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def tidy(axes: Any) -> None:
    """Takes away what does not speak."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, color="#e4e4e4", linewidth=0.8)
    axes.set_axisbelow(True)


def show_picture(
    axes: Any, picture: npt.NDArray[np.uint8], frame: str, style: Any = "solid"
) -> None:
    """Shows a picture in a frame.

    Args:
        axes: Where.
        picture: uint8 `(height, width, 3)`.
        frame: Colour of the frame.
        style: Its line, as matplotlib says it.
    """
    axes.imshow(picture)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(color=frame, linewidth=2.5, linestyle=style)


def save(figure: Figure, path: Path) -> npt.NDArray[np.uint8]:
    """Writes a figure as PNG, atomically.

    Returns:
        Its pixels, uint8 `(height, width, 3)`.
    """
    with replacing(path) as temporary:
        figure.savefig(temporary)
    canvas: Any = figure.canvas
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
