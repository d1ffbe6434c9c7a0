"""Train an embedder, evaluate and export it; goes on where it was stopped.

The settings of a recipe come first, dce_tf/recipes/DATASET.flags or, with --profile,
dce_tf/recipes/PROFILE-DATASET.flags; flags on the command line win over them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags

from dce_tf import config as config_module
from dce_tf.errors import UsageError
from dce_tf.profiles import DEFAULT
from dce_tf.runs.folds import cross_validate
from dce_tf.runs.train import train


def define_flags(values: flags.FlagValues) -> None:
    """Defines every setting as a flag, and the profile they begin with."""
    flags.DEFINE_string(
        "profile",
        DEFAULT,
        "Settings to begin with: 'paper2019', 'paper2021', 'best'; see dce_tf/recipes.",
        flag_values=values,
    )
    config_module.define_flags(values)


def run(settings: Mapping[str, Any], arguments: Sequence[str]) -> int:
    """Trains."""
    if arguments:
        raise UsageError(
            f"Unexpected word {arguments[0]!r}: flags begin with --, and a command is "
            "the first word."
        )
    config = config_module.from_flags(settings)
    if config.num_folds and config.fold is None:
        cross_validate(config)
    else:
        train(config)
    return 0
