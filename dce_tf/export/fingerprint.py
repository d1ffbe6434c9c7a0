"""Which model an exported version is: what tells whether embeddings can be compared."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dce_tf.base.program import PROGRAM

if TYPE_CHECKING:
    from dce_tf.network.model import EmbeddingModel

CARD = "model_card.json"
ASSETS = "assets.extra"
_READING = 2  # To be raised when `images` reads the same file as other pixels.


def fingerprint(folder: Path) -> str:
    """Returns which model an exported version is.

    Args:
        folder: One version: what `export` wrote, in any format, or any SavedModel.

    Returns:
        64 hexadecimal digits, the same for two versions only if their embeddings can be
        compared. For what `export` did not write, the SHA-256 of its files: two exports
        of one model then differ.

    Raises:
        ValueError: If there is no exported model there, or its card is damaged.
    """
    for card in (folder / ASSETS / CARD, folder / CARD):
        found = _from_card(card) if card.is_file() else None
        if found is not None:
            return found
    graph = folder / "saved_model.pb"
    if not graph.is_file():
        raise ValueError(
            f"{folder}: found neither {CARD} nor saved_model.pb; expected an exported "
            f"version. `{PROGRAM} export RUN` writes one."
        )
    variables = sorted(path for path in folder.glob("variables/*") if path.is_file())
    digest = hashlib.sha256()
    for path in (graph, *variables):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256")
        digest.update(path.name.encode() + b"\0" + content.digest())
    return digest.hexdigest()


def _from_card(path: Path) -> str | None:
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        found = card.get("fingerprint")
    except (ValueError, AttributeError) as error:
        raise ValueError(
            f"{path}: found no JSON object ({error}); expected the model card that "
            "`export` wrote. Export the model again."
        ) from error
    return None if found is None else str(found)


def fingerprint_model(model: EmbeddingModel, *, image_size: int, precision: str) -> str:
    """Returns the fingerprint of a model that is to be exported.

    Names of layers and functions do not count, as they differ from process to process.

    Args:
        model: The network.
        image_size: Side of its input in pixels.
        precision: What its weights become, such as `"float16"`.
    """
    layer = model.embedding
    settings: dict[str, Any] = {
        "reading": _READING,
        "image_size": image_size,
        "precision": precision,
        "computed_in": sorted({each.compute_dtype for each in model._flatten_layers()}),
        "pooling": model.pooling,
        "parts": layer.parts,
        "num_learners": layer.num_learners,
    }
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for weight in model.weights:
        values = np.ascontiguousarray(weight.numpy())
        digest.update(f"{values.dtype.str}{values.shape}".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()
