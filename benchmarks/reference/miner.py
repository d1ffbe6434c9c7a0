"""The miner: anchor by anchor, in Python."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Places = npt.NDArray[np.int64]


def mine_nearest(
    distances: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64],
    cutoff: float = 0.5,
) -> tuple[Places, Places, Places]:
    """Takes all positives and, for each, the nearest negative beyond a cutoff.

    Where fewer negatives than positives lie beyond it, whatever sorts last fills up:
    nearer negatives, positives, the anchor itself.

    Args:
        distances: float32 `(batch, batch)`.
        labels: int64 `(batch,)`.
        cutoff: Negatives nearer than this are passed over.

    Returns:
        Anchor, positive and negative of each triplet.
    """
    anchors, positives, negatives = [], [], []
    for anchor in range(len(labels)):
        same = labels == labels[anchor]
        scores = distances[anchor].copy()
        scores[same | (scores <= cutoff)] = np.inf
        others = [place for place in np.flatnonzero(same) if place != anchor]
        nearest = np.argsort(scores)[: len(others)]
        for positive, negative in zip(others, nearest, strict=True):
            anchors.append(anchor)
            positives.append(positive)
            negatives.append(negative)
    triplets = (anchors, positives, negatives)
    return tuple(np.asarray(part, np.int64) for part in triplets)  # type: ignore[return-value]
