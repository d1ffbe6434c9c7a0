"""What there is to know about an exported model."""

from __future__ import annotations

from typing import Any

from dce_tf.config import Config

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


def model_card(config: Config, report: dict[str, Any]) -> dict[str, Any]:
    """Returns the card of a run's best epoch.

    Args:
        config: Of the run.
        report: As in `report.json`.

    Returns:
        Name, data, scores with 95 % intervals, preprocessing, settings and environment.
        The licences are for whoever publishes the model to fill in.
    """
    return {
        "name": f"{config.dataset}-{config.dir}-{config.exp}",
        "task": "image retrieval: embeddings of unit length, compared by dot product",
        "embedding_dim": config.embedding_dim,
        "preprocessing": {
            "input": "JPEG, PNG, GIF (first frame), BMP or WebP; decoded to RGB",
            "orientation": "EXIF orientation applied",
            "image_size": config.image_size,
            "crop": "shorter side scaled to image_size · 8/7, then the centre",
            "range": "0 to 255; the network scales it",
        },
        "data": {
            "dataset": config.dataset,
            "classes": "those of the test are not among those trained on",
            "selected_on": report["selected_on"],
            "best_epoch": report["best_epoch"],
        },
        "test": {"scores": report["after"], "intervals_95": report["intervals"]},
        "trained_with": {name: getattr(config, name) for name in _TRAINED_WITH},
        "license": {"model": None, "data": None, "backbone_weights": None},
        "environment": report["environment"],
    }
