"""A heat-map over the picture it is of."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from dce_tf.reports.thumbnails import Picture

CROPPED = 224 / 256
"""Side of what the network sees, per side of the largest square in the middle."""

_FOR = np.array([230, 60, 0], np.float32)
_AGAINST = np.array([0, 90, 230], np.float32)
_MOST = 0.75  # Opacity of the hottest place.
_UNSEEN = 0.55  # Brightness outside of what the network sees.


def draw_heat(
    picture: Picture, heat: npt.NDArray[np.float32], hottest: float
) -> Picture:
    """Draws a heat-map over a picture: red speaks for the match, blue against it.

    Args:
        picture: uint8 `(size, size, 3)`: the largest square in the middle of an image,
            as `read_thumbnail` returns it. What the network does not see of it is
            darkened.
        heat: float32 `(rows, columns)`, of the middle `CROPPED` of the picture.
        hottest: What is drawn strongest; of both images of a match the same, so that
            the two can be compared.

    Returns:
        uint8 `(size, size, 3)`.
    """
    size = len(picture)
    side = round(size * CROPPED)
    start = (size - side) // 2
    seen = slice(start, start + side)
    strength = np.asarray(
        Image.fromarray(np.asarray(heat, np.float32)).resize(
            (side, side), Image.Resampling.BILINEAR
        )
    )
    strength = np.clip(strength / max(hottest, 1e-12), -1, 1)[..., None]
    colour = np.where(strength > 0, _FOR, _AGAINST)
    # Squared, as most places speak for a match a little.
    opacity = _MOST * strength**2
    drawn = _UNSEEN * picture.astype(np.float32)
    drawn[seen, seen] = (1 - opacity) * picture[seen, seen] + opacity * colour
    return np.round(drawn).astype(np.uint8)
