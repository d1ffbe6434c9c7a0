"""The plot of clusters: how large they are, and who moves between divisions."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline

from dce_tf.reports.figures import colour, new_figure, save, tidy

SHOWN_DIVISIONS = 8
BAR = 0.12  # Half the width of a cluster's bar, in divisions.

Memberships = Mapping[int, npt.NDArray[np.int32]]


def plot_clusters(memberships: Memberships, path: Path) -> None:
    """Writes the figure of `draw_clusters` as PNG."""
    save(draw_clusters(memberships), path)


def draw_clusters(memberships: Memberships) -> Figure:
    """Draws the sizes of the clusters over all divisions, and the last flows.

    Args:
        memberships: The epoch of each division → cluster of each image, int32
            `(num_images,)`, −1 for none.
    """
    epochs = sorted(memberships)
    num_clusters = 1 + max(int(memberships[epoch].max()) for epoch in epochs)
    figure = new_figure(9, 7)
    above, below = figure.subplots(2, 1, height_ratios=(1, 1.6))
    _draw_sizes(above, memberships, epochs, num_clusters)
    _draw_flow(below, memberships, epochs[-SHOWN_DIVISIONS:], num_clusters)
    return figure


def _draw_sizes(
    axes: Any, memberships: Memberships, epochs: list[int], num_clusters: int
) -> None:
    sizes = np.stack(
        [sizes_with_lone(memberships[epoch], num_clusters) for epoch in epochs]
    )
    bottom = np.zeros(len(epochs))
    for cluster in range(num_clusters + 1):
        lone = cluster == num_clusters
        axes.bar(
            range(len(epochs)),
            sizes[:, cluster],
            bottom=bottom,
            color="#dddddd" if lone else colour(cluster),
            edgecolor="white",
            linewidth=0.5,
            label="unassigned" if lone else f"cluster {cluster}",
        )
        bottom += sizes[:, cluster]
    axes.set_xticks(range(len(epochs)), [str(epoch) for epoch in epochs])
    axes.set(
        title="Images per cluster", xlabel="epoch of the division", ylabel="images"
    )
    tidy(axes)
    axes.legend(
        fontsize=7,
        loc="upper left",
        bbox_to_anchor=(1, 1),
        ncols=1 + num_clusters // 12,
    )


def sizes_with_lone(
    membership: npt.NDArray[np.int32], num_clusters: int
) -> npt.NDArray[np.int64]:
    """Counts the images of each cluster, and last those of none."""
    return np.bincount(
        np.where(membership < 0, num_clusters, membership), minlength=num_clusters + 1
    )


def _draw_flow(
    axes: Any, memberships: Memberships, epochs: list[int], num_clusters: int
) -> None:
    total = len(memberships[epochs[0]])
    gap = 0.02 * total
    for place, epoch in enumerate(epochs):
        bottoms = _bottoms(memberships[epoch], num_clusters, gap)
        sizes = sizes_with_lone(memberships[epoch], num_clusters)
        for cluster in range(num_clusters + 1):
            shade = "#dddddd" if cluster == num_clusters else colour(cluster)
            axes.bar(place, sizes[cluster], 2 * BAR, bottoms[cluster], color=shade)
    for place, (old, new) in enumerate(itertools.pairwise(epochs)):
        _draw_ribbons(
            axes, place, memberships[old], memberships[new], num_clusters, gap
        )
    axes.set_xticks(range(len(epochs)), [str(epoch) for epoch in epochs])
    axes.set_yticks([])
    axes.set(
        title="Where the images of each cluster went", xlabel="epoch of the division"
    )
    axes.spines[["top", "right", "left"]].set_visible(False)


def _bottoms(
    membership: npt.NDArray[np.int32], num_clusters: int, gap: float
) -> npt.NDArray[np.float64]:
    sizes = sizes_with_lone(membership, num_clusters)
    return np.concatenate([[0.0], np.cumsum(sizes[:-1] + gap)])


def _draw_ribbons(
    axes: Any,
    place: int,
    old: npt.NDArray[np.int32],
    new: npt.NDArray[np.int32],
    num_clusters: int,
    gap: float,
) -> None:
    leaving = _bottoms(old, num_clusters, gap)
    arriving = _bottoms(new, num_clusters, gap)
    old = np.where(old < 0, num_clusters, old)
    new = np.where(new < 0, num_clusters, new)
    width = num_clusters + 1
    flow = np.bincount(old * width + new, minlength=width**2).reshape(width, width)
    left, right = place + BAR, place + 1 - BAR
    middle = (left + right) / 2
    for source, target in zip(*np.nonzero(flow), strict=True):
        count = flow[source, target]
        a, b = leaving[source], arriving[target]
        corners = [
            (left, a), (middle, a), (middle, b), (right, b), (right, b + count),
            (middle, b + count), (middle, a + count), (left, a + count), (left, a),
        ]  # fmt: skip
        curve = [Outline.CURVE4] * 3
        codes = [Outline.MOVETO, *curve, Outline.LINETO, *curve, Outline.CLOSEPOLY]
        shade = "#bbbbbb" if source == num_clusters else colour(int(source))
        axes.add_patch(
            PathPatch(Outline(corners, codes), fc=shade, ec="none", alpha=0.35)
        )
        leaving[source] += count
        arriving[target] += count
