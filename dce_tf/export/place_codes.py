"""Which codes of places an exported model gives, for a second look."""

from __future__ import annotations

import json
from collections.abc import Container
from pathlib import Path

from dce_tf.export.embedder import PLACES
from dce_tf.export.fingerprint import ASSETS, CARD


def digest_of_places(folder: Path, signatures: Container[str]) -> str | None:
    """Returns which codes a SavedModel gives, as `PlaceHead.digest`; None for none.

    Args:
        folder: One version.
        signatures: The names of those it has.

    Raises:
        ValueError: If its model card does not say.
    """
    if PLACES not in signatures:
        return None
    path = folder / ASSETS / CARD
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        return str(card[PLACES]["digest"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ValueError(
            f"{path} does not say which places it compares. Export the model again."
        ) from error
