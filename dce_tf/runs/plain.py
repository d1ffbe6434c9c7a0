"""The settings to score that with which is of no run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dce_tf.config import Config

# Of data that was not trained on none is held out, as nothing is to be chosen.
ALL_CLASSES = {"val_fraction": 0.0, "num_folds": 0, "fold": None, "select_on": "test"}


def plain_config(given: Mapping[str, Any]) -> Config:
    """Returns the settings to evaluate with what is of no run.

    Args:
        given: What the command line says.
    """
    values = {"num_clusters": 1, **ALL_CLASSES, **given}
    # How wide the embedding is shows when it is there.
    return Config(**values, embedding_dim=values["num_clusters"])
