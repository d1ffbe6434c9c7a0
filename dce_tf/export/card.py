"""What there is to know about any exported model, whatever it was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dce_tf.export.embedder import PLACES, ServableEmbedder
from dce_tf.export.formats import ExportFormat
from dce_tf.export.heat_maps import HEAT_MAPS, WHY_NOT


def describe(
    embedder: ServableEmbedder,
    export_format: ExportFormat,
    agreement: Mapping[str, Any],
) -> dict[str, Any]:
    """Returns the part of a model card that the model itself tells.

    Args:
        embedder: What was exported.
        export_format: As what.
        agreement: How alike its embeddings and the model's are.

    Returns:
        JSON values. The licences are for whoever publishes the model to fill in.
    """
    return {
        "name": "embedder",
        "fingerprint": embedder.fingerprint,
        "task": "image retrieval: embeddings of unit length, compared by dot product",
        "embedding_dim": embedder.embedding_dim,
        "format": export_format.name,
        "precision": embedder.precision,
        "agreement_with_training": dict(agreement),
        "runtime": dict(export_format.runtime),
        "preprocessing": {
            "input": "JPEG, PNG, GIF (first frame), BMP or WebP; decoded to RGB",
            "orientation": "EXIF orientation applied",
            "image_size": embedder.image_size,
            "crop": "shorter side scaled to image_size · 8/7, then the centre",
            "range": "0 to 255; the network scales it",
        },
        HEAT_MAPS: {WHY_NOT: _why_not_explained(embedder, export_format)},
        PLACES: _places(embedder),
        "license": {"model": None, "data": None, "backbone_weights": None},
    }


def _places(embedder: ServableEmbedder) -> dict[str, Any] | None:
    if embedder.places is None:
        return None
    return {"numbers": embedder.places.kept, "digest": embedder.places.digest}


def _why_not_explained(
    embedder: ServableEmbedder, export_format: ExportFormat
) -> str | None:
    if not export_format.explains:
        return f"--format={export_format.name} has none; --format=saved_model does"
    return embedder.why_not_explained
