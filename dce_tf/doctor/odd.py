"""Pictures that stand out: unlike all others, dark, blurred, empty, tiny, broken."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dce_tf.doctor.findings import Finding
from dce_tf.doctor.nearest import Neighbours
from dce_tf.doctor.pictures import MOST_EMPTY, Pictures

FAR = 4.5
"""An image is an outlier if its neighbours are this many usual deviations farther."""

DARK = 0.15
"""A picture is dark if even the brightest tenth of it is below this, of 1."""
BLURRED = 4.0
"""A picture is blurred if it is this many usual deviations less sharp than others."""
TINY = 3.0
"""A picture is tiny if its shorter side is this many times below the median."""

Numbers = npt.NDArray[np.float64]


def find_outliers(neighbours: Neighbours) -> list[Finding]:
    """Finds images whose nearest images are far away.

    Args:
        neighbours: The nearest of each.
    """
    # The farthest: that a few others are like it makes an image no less odd.
    far = 1 - neighbours.cosines[:, -1].astype(np.float64)
    scores = deviations(far)
    number = neighbours.rows.shape[1]
    return [
        Finding(
            "outlier",
            (int(row),),
            (int(neighbours.rows[row, 0]),),
            float(scores[row]),
            f"a cosine of {1 - far[row]:.2f} to its {number}th neighbour, usually "
            f"{1 - np.median(far):.2f}",
        )
        for row in np.flatnonzero(scores >= FAR)
    ]


def deviations(values: Numbers) -> Numbers:
    """Returns how many usual deviations each value is above the median.

    The usual deviation is the median one times 1.4826, which for a normal distribution
    is its standard deviation, and which a few odd values do not change.
    """
    middle = np.median(values)
    usual = 1.4826 * np.median(np.abs(values - middle))
    scores: Numbers = (values - middle) / max(usual, 1e-6)
    return scores


def find_odd_pictures(pictures: Pictures) -> list[Finding]:
    """Finds files that are broken, empty, dark, tiny or blurred, in this order."""
    found = [
        Finding("broken", (row,), text=problem, suggestion="drop")
        for row, problem in pictures.problems.items()
    ]
    good = np.flatnonzero(pictures.readable)
    if not len(good):
        return found
    shorter = pictures.sides.min(axis=1)
    usual = np.median(shorter[good])
    dull = np.full(len(shorter), -np.inf)
    dull[good] = deviations(-np.log1p(pictures.sharpness[good].astype(np.float64)))
    for row in good.tolist():
        light, share = float(pictures.light[row]), float(pictures.emptiness[row])
        if share >= MOST_EMPTY:
            text = f"{share:.1%} of the pixels have one colour"
            found.append(Finding("empty", (row,), (), share, text))
        elif light < DARK:
            text = f"nine tenths are darker than {light:.0%} of white"
            found.append(Finding("dark", (row,), (), 1 - light, text))
        elif shorter[row] * TINY < usual:
            width, height = pictures.sides[row]
            text = f"{width} × {height}, where the shorter side is usually {usual:g}"
            found.append(Finding("tiny", (row,), (), usual / shorter[row], text))
        elif dull[row] >= BLURRED:
            text = f"{dull[row]:.1f} usual deviations less sharp than the others"
            found.append(Finding("blurred", (row,), (), dull[row], text))
    return found
