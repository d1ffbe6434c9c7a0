"""Whether an exported model has what heat-maps of matches are made of."""

from __future__ import annotations

import json
from collections.abc import Container
from pathlib import Path

from dce_tf.base.errors import UsageError
from dce_tf.base.program import PROGRAM
from dce_tf.export.embedder import EXPLAIN
from dce_tf.export.fingerprint import ASSETS, CARD

HEAT_MAPS, WHY_NOT = "heat_maps", "why_not"
"""Where the model card says why there are none, or null."""


def require_explained(folder: Path, signatures: Container[str]) -> None:
    """Checks that a SavedModel has the signature that splits embeddings by place.

    Args:
        folder: One version.
        signatures: The names of those it has.

    Raises:
        UsageError: If it has not, with what to do.
    """
    if reason := why_not_explained(folder, signatures):
        raise UsageError(f"There is no heat-map of a match for this model: {reason}.")


def why_not_explained(folder: Path, signatures: Container[str]) -> str | None:
    """Returns why a SavedModel cannot split embeddings by place, or None if it can.

    Args:
        folder: One version.
        signatures: The names of those it has.
    """
    if EXPLAIN in signatures:
        return None
    path = folder / ASSETS / CARD
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        reason = card[HEAT_MAPS][WHY_NOT]
    except (OSError, ValueError, LookupError, TypeError):
        reason = None
    if isinstance(reason, str):
        return reason
    return (
        "it was exported before there were any. Export it again, which makes the same "
        f"embeddings: `{PROGRAM} export RUN`"
    )
