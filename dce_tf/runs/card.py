"""What a run knows about its exported model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dce_tf.config import Config
from dce_tf.hub.address import is_on_hub

_TRAINED_WITH = (
    "backbone",
    "embedding_dim",
    "num_clusters",
    "parts",
    "loss",
    "augmentation",
    "num_epochs",
    "random_seed",
)
_REPORTED = ("selected_on", "best_epoch", "after", "intervals", "environment")


def model_card(
    config: Config,
    report: Mapping[str, Any] | None,
    teacher: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Returns what the card of a run's best epoch has beside what every card has.

    Args:
        config: Of the run.
        report: As in `report.json`; None as long as the run is not done.
        teacher: As `RunDirectory.teacher` returns it.

    Returns:
        Name, data, scores with 95 % intervals, settings and environment.
    """
    settings = config.as_dict()
    known = report or dict.fromkeys(_REPORTED)
    return {
        "name": (
            f"{config.data.dataset.partition('(')[0]}-{config.run.dir}-{config.run.exp}"
        ),
        "data": {
            "dataset": config.data.dataset,
            "classes": "those of the test are not among those trained on",
            "selected_on": known["selected_on"],
            "best_epoch": known["best_epoch"],
        },
        "test": {"scores": known["after"], "intervals_95": known["intervals"]},
        "trained_with": {
            **{name: settings[name] for name in _TRAINED_WITH},
            **(_taught_by(config, teacher) if teacher else {}),
        },
        "environment": known["environment"],
    }


def _taught_by(config: Config, teacher: Mapping[str, Any]) -> dict[str, Any]:
    source, settings = str(teacher["source"]), config.distillation
    return {
        # Where it lay on the machine is nobody's business.
        "teacher": source if is_on_hub(source) else Path(source).name,
        "teacher_fingerprint": teacher["fingerprint"],
        "teacher_weight": settings.similarity_weight,
        "teacher_temperature": settings.teacher_temperature,
        "teacher_embedding_weight": settings.teacher_embedding_weight,
    }
