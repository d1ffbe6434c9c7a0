"""How alike two images are, place by place."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Places = npt.NDArray[np.int8]
"""Codes of the places of images, int8 `(…, places, dim)`, of length 127."""

_LARGEST = 127.0


def match_places(query: Places, others: Places) -> npt.NDArray[np.float32]:
    """Returns how well the places of images match those of a query, −1 to 1.

    Args:
        query: `(places, dim)`.
        others: `(num_others, places, dim)`.

    Returns:
        float32 `(num_others,)`.
    """
    own = query.astype(np.float32) / _LARGEST
    flat = others.reshape(-1, others.shape[-1]).astype(np.float32) / _LARGEST
    alike = (flat @ own.T).reshape(*others.shape[:2], len(own))
    match: npt.NDArray[np.float32] = (
        alike.max(axis=1).mean(axis=1) + alike.max(axis=2).mean(axis=1)
    ) / 2
    return match
