"""A model of the Hub that was pushed with its Keras file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from dce_tf.export.calibration import find_calibration
from dce_tf.export.fingerprint import fingerprint_model
from dce_tf.export.truncation import drop_heads
from dce_tf.hub.address import HubAddress
from dce_tf.hub.fetching import local_source
from dce_tf.hub.files import CARD_PATH, KERAS, LABELS_PATH
from dce_tf.index.calibration import Calibration
from dce_tf.network.backbones.model_file import read_model
from dce_tf.network.model import EmbeddingModel

_OF_RUN = ("name", "data", "test", "trained_with", "environment", "license")


@dataclasses.dataclass(frozen=True, eq=False)
class PushedModel:
    """What `push --with_keras` wrote.

    Attributes:
        name: Of the repository, without its owner.
        model: The Keras model.
        image_size: Side of its images in pixels.
        card: The part of the model card that only its run knew.
        calibration: What its scores mean, if that is known.
        labels: The classes it was trained on.
    """

    name: str
    model: EmbeddingModel
    image_size: int
    card: Mapping[str, Any]
    calibration: Calibration | None
    labels: Sequence[str]

    @classmethod
    def fetch(cls, source: str) -> PushedModel:
        """Reads a model of the Hub.

        Args:
            source: `hf://user/name@revision`.

        Raises:
            UsageError: If the address names nothing.
            ValueError: If there is no such model, or it is not one of ours.
        """
        folder = local_source(source, with_keras=True)
        model = read_model(folder / KERAS, source)
        card = json.loads((folder / CARD_PATH).read_text(encoding="utf-8"))
        size = _image_size(card)
        if not isinstance(model, EmbeddingModel) or size is None:
            raise ValueError(
                f"{source} has another {KERAS} or model card than `push` writes. Push "
                "it again from its run."
            )
        calibration = find_calibration(folder)
        found = fingerprint_model(
            drop_heads(model),
            image_size=size,
            precision=str(card.get("precision", "float32")),
        )
        if calibration is not None and calibration.fingerprint != found:
            calibration = None
        labels = folder / LABELS_PATH
        return cls(
            name=HubAddress.parse(source).name,
            model=model,
            image_size=size,
            card={key: card[key] for key in _OF_RUN if key in card},
            calibration=calibration,
            labels=labels.read_text("utf-8").splitlines() if labels.is_file() else (),
        )


def _image_size(card: Any) -> int | None:
    reading = card.get("preprocessing") if isinstance(card, dict) else None
    size = reading.get("image_size") if isinstance(reading, dict) else None
    return size if isinstance(size, int) and size > 0 else None
