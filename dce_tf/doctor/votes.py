"""What the neighbours of an image say of its class."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from dce_tf.doctor.nearest import Neighbours
from dce_tf.doctor.population import Population

Numbers = npt.NDArray[np.float32]

TEMPERATURE = 0.05
"""How much lower a cosine is that is worth e times less."""
_AT_ONCE = 8192


@dataclasses.dataclass(frozen=True, eq=False)
class Votes:
    """How the neighbours of each image divide between its class and another.

    Attributes:
        own: Share of the image's own class, float32 `(num_images,)`, 0 to 1.
        other: Share of the class that has most of the rest.
        rival: That class, int32; −1 where there is none.
        witness: The nearest image of the rival, int32; −1 where there is none.
    """

    own: Numbers
    other: Numbers
    rival: npt.NDArray[np.int32]
    witness: npt.NDArray[np.int32]


def count_votes(
    population: Population,
    neighbours: Neighbours,
    groups: npt.NDArray[np.int64],
) -> Votes:
    """Lets the neighbours of each image vote for their classes.

    A neighbour's vote falls with its distance: by a factor e for each `TEMPERATURE` of
    cosine below the nearest one. Copies of an image have no vote on it, as they would
    confirm its label by theirs; images without a class have none.

    Args:
        population: The images.
        neighbours: The nearest of each.
        groups: Which images are copies of each other: see `Copies`.
    """
    count = len(population)
    votes = Votes(
        np.zeros(count, np.float32),
        np.zeros(count, np.float32),
        np.full(count, -1, np.int32),
        np.full(count, -1, np.int32),
    )
    labels = population.labels
    for start in range(0, count, _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        rows = neighbours.rows[part]
        named = labels[rows]
        weights = weigh(neighbours, labels, groups, part)
        counted = weights > 0
        # What the class of each neighbour gets from all of them.
        alike = named[:, :, None] == named[:, None, :]
        shares = np.einsum("nab,nb->na", alike, weights)
        is_own = named == labels[part, None]
        votes.own[part] = np.where(is_own & counted, shares, 0).max(axis=1)
        rest = np.where(is_own | ~counted, 0, shares)
        # The first of the most is the nearest of that class.
        best = rest.argmax(axis=1)
        here = np.arange(len(rows))
        votes.other[part] = rest[here, best]
        is_there = votes.other[part] > 0
        votes.rival[part] = np.where(is_there, named[here, best], -1)
        votes.witness[part] = np.where(is_there, rows[here, best], -1)
    return votes


def weigh(
    neighbours: Neighbours,
    labels: npt.NDArray[np.int32],
    groups: npt.NDArray[np.int64],
    part: slice,
) -> Numbers:
    """Returns the votes of the neighbours of some images, which sum to 1, or 0.

    Args:
        neighbours: The nearest of each.
        labels: Class of each image; −1 has no vote.
        groups: Which images are copies of each other: they have no vote either.
        part: Which images.

    Returns:
        float32 `(length of the part, k)`.
    """
    rows, cosines = neighbours.rows[part], neighbours.cosines[part]
    counted = (labels[rows] >= 0) & (groups[rows] != groups[part, None])
    top = np.where(counted, cosines, -np.inf).max(axis=1, keepdims=True)
    below = np.where(counted, cosines - np.maximum(top, -1), 0)
    weights = np.where(counted, np.exp(below / TEMPERATURE), 0).astype(np.float32)
    shares: Numbers = weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-12)
    return shares
