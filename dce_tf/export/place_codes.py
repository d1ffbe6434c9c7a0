"""Which codes of places an exported model gives, for a second look."""

from __future__ import annotations

import json
from pathlib import Path

from dce_tf.export.embedder import PLACES
from dce_tf.export.fingerprint import ASSETS, CARD


def place_codes_of(folder: Path) -> str | None:
    """Returns which codes of places a SavedModel gives, as `PlaceHead.digest`.

    Args:
        folder: One version.

    Returns:
        None if it gives none, or its model card does not say so.
    """
    try:
        card = json.loads((folder / ASSETS / CARD).read_text(encoding="utf-8"))
        return str(card[PLACES]["digest"])
    except (OSError, ValueError, LookupError, TypeError):
        return None
