"""The shortest way to a SavedModel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dce_tf.export.embedder import ServableEmbedder
from dce_tf.export.formats.saved_model import SavedModel
from dce_tf.export.writing import write_version
from dce_tf.network.model import EmbeddingModel


def export_saved_model(
    model: EmbeddingModel,
    image_size: int,
    folder: str | Path,
    card: Mapping[str, Any] | None = None,
    labels: Sequence[str] = (),
) -> Path:
    """Writes the next version of a SavedModel; see `write_version`.

    Args:
        model: What to export.
        image_size: Side of its input in pixels.
        folder: Holds one sub-folder per version: 1, 2, …
        card: What else there is to know about the model.
        labels: The classes it was trained on.

    Returns:
        The folder of the new version.
    """
    return write_version(
        ServableEmbedder(model, image_size), SavedModel(), folder, card, labels
    )
