"""What there is to know about any exported model, whatever it was trained on."""

from __future__ import annotations

from typing import Any


def describe(
    fingerprint: str, *, image_size: int, embedding_dim: int, precision: str
) -> dict[str, Any]:
    """Returns the part of a model card that the model itself tells.

    Args:
        fingerprint: Which model it is.
        image_size: Side of its input in pixels.
        embedding_dim: Width of what it returns.
        precision: What its numbers are stored as, such as `"float32"`.

    Returns:
        JSON values. The licences are for whoever publishes the model to fill in.
    """
    return {
        "name": "embedder",
        "fingerprint": fingerprint,
        "task": "image retrieval: embeddings of unit length, compared by dot product",
        "embedding_dim": embedding_dim,
        "precision": precision,
        "preprocessing": {
            "input": "JPEG, PNG, GIF (first frame), BMP or WebP; decoded to RGB",
            "orientation": "EXIF orientation applied",
            "image_size": image_size,
            "crop": "shorter side scaled to image_size · 8/7, then the centre",
            "range": "0 to 255; the network scales it",
        },
        "license": {"model": None, "data": None, "backbone_weights": None},
    }
