"""Whether what was written embeds as the model does."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]

_CELLS = 7


def draw_images(image_size: int, count: int = 4) -> Vectors:
    """Draws images to try a model on: squares of random colours.

    Args:
        image_size: Side in pixels.
        count: How many.

    Returns:
        float32 `(count, image_size, image_size, 3)`, 0 to 255; the same each time.
    """
    colours = np.random.default_rng(0).uniform(0, 255, (count, _CELLS, _CELLS, 3))
    cells = np.arange(image_size) * _CELLS // image_size
    return colours[:, cells][:, :, cells].astype(np.float32)


def measure_agreement(expected: Vectors, received: Vectors) -> dict[str, Any]:
    """Measures how alike the embeddings of the same images are.

    Args:
        expected: float32 `(num_images, embedding_dim)`, of unit length.
        received: Of what was written.

    Returns:
        `images`, how many there were, and of their cosines `mean_cosine` and
        `min_cosine`; NaN if an embedding is not finite.

    Raises:
        ValueError: If the shapes differ.
    """
    if expected.shape != received.shape:
        raise ValueError(
            f"The exported model returned embeddings of shape {received.shape}; "
            f"expected {expected.shape}."
        )
    # 1 − |a − b|² / 2 is the cosine at unit length, less where a length is wrong, and 1
    # where a collapsed model gives zeros on both sides.
    squared = np.sum((expected.astype(float) - received) ** 2, axis=1)
    cosines = 1 - squared / 2
    return {
        "images": len(expected),
        "mean_cosine": float(cosines.mean()),
        "min_cosine": float(cosines.min()),
    }


def require_agreement(
    found: dict[str, Any], lowest: dict[str, float], name: str
) -> None:
    """Checks what `measure_agreement` found.

    Args:
        found: What it returned.
        lowest: For each key that counts, the least that will do.
        name: What was exported, for the error.

    Raises:
        ValueError: If it is less.
    """
    for key, bound in lowest.items():
        if not found[key] >= bound:  # NaN too.
            raise ValueError(
                f"The {name} export does not embed as the model does: on "
                f"{found['images']} images the {key.replace('_', ' ')} was "
                f"{found[key]:.6f}; expected at least {bound}. Nothing was written. "
                "Try another --format or --precision."
            )
