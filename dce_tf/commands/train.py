"""Trains with the settings of the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dce_tf import config as config_module
from dce_tf.base.errors import UsageError
from dce_tf.runs.folds import cross_validate
from dce_tf.runs.train import train


def run(settings: Mapping[str, Any], arguments: Sequence[str]) -> int:
    """Trains."""
    if arguments:
        raise UsageError(
            f"Unexpected word {arguments[0]!r}: flags begin with --, and a command is "
            "the first word."
        )
    config = config_module.from_flags(settings)
    if config.data.num_folds and config.data.fold is None:
        cross_validate(config)
    else:
        train(config)
    return 0
