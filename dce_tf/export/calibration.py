"""What the scores of an exported model mean, in its card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dce_tf.export.fingerprint import ASSETS, CARD
from dce_tf.index.calibration import Calibration

_KEY, _MODEL = "calibration", "fingerprint"
_OF_RUN = "calibration.json"


def calibration_card(calibration: Calibration) -> dict[str, Any]:
    """Returns the part of a model card that says what scores mean.

    Which model it is of, the card says itself.
    """
    values = calibration.as_json()
    del values[_MODEL]
    return {_KEY: values}


def find_calibration(folder: Path) -> Calibration | None:
    """Returns what scores mean, as a run or an exported version says.

    Args:
        folder: A run directory, or one version, in any format.

    Returns:
        The calibration; None if there is none.

    Raises:
        ValueError: If what is there is damaged.
    """
    own = folder / _OF_RUN
    if own.is_file():
        return Calibration.from_json(_read(own), str(own))
    for path in (folder / ASSETS / CARD, folder / CARD):
        if not path.is_file():
            continue
        card = _read(path)
        if isinstance(card, dict) and card.get(_KEY) is not None:
            values = card[_KEY]
            if isinstance(values, dict):
                values = {**values, _MODEL: card.get(_MODEL)}
            return Calibration.from_json(values, str(path))
    return None


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as JSON: {error}.") from error
