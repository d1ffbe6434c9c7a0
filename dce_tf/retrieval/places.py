"""How alike two images are, place by place."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dce_tf.index.collection import Places

_LARGEST = 127.0
_MOST_PAIRS = 2**22  # Of places, compared at once: 16 MB.


def match_places(query: Places, others: Places) -> npt.NDArray[np.float32]:
    """Returns how well the places of images match those of a query, −1 to 1.

    Args:
        query: `(places, dim)`.
        others: `(num_others, places, dim)`.

    Returns:
        float32 `(num_others,)`.
    """
    own = query.astype(np.float32) / _LARGEST
    match = np.empty(len(others), np.float32)
    size = max(1, _MOST_PAIRS // (others.shape[1] * len(own)))
    for start in range(0, len(others), size):
        some = others[start : start + size].astype(np.float32) / _LARGEST
        alike = (some.reshape(-1, some.shape[-1]) @ own.T).reshape(
            *some.shape[:2], len(own)
        )
        both = alike.max(axis=1).mean(axis=1), alike.max(axis=2).mean(axis=1)
        match[start : start + size] = (both[0] + both[1]) / 2
    return match
