"""What there is to know about any exported model, whatever it was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dce_tf.export.embedder import Embedder


def describe(
    embedder: Embedder, format_name: str, agreement: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns the part of a model card that the model itself tells.

    Args:
        embedder: What was exported.
        format_name: As what.
        agreement: How alike its embeddings and the model's are.

    Returns:
        JSON values. The licences are for whoever publishes the model to fill in.
    """
    return {
        "name": "embedder",
        "fingerprint": embedder.fingerprint,
        "task": "image retrieval: embeddings of unit length, compared by dot product",
        "embedding_dim": embedder.embedding_dim,
        "format": format_name,
        "precision": embedder.precision,
        "agreement_with_training": dict(agreement),
        "preprocessing": {
            "input": "JPEG, PNG, GIF (first frame), BMP or WebP; decoded to RGB",
            "orientation": "EXIF orientation applied",
            "image_size": embedder.image_size,
            "crop": "shorter side scaled to image_size · 8/7, then the centre",
            "range": "0 to 255; the network scales it",
        },
        "license": {"model": None, "data": None, "backbone_weights": None},
    }
