"""Train an embedder, evaluate and export it; goes on where it was stopped.

The settings of a recipe come first, dce_tf/recipes/DATASET.flags or, with --profile,
dce_tf/recipes/PROFILE-DATASET.flags; flags on the command line win over them.
--profile=best has settings for every data set, yours included.
"""

from __future__ import annotations

from absl import flags

from dce_tf import config as config_module
from dce_tf.config.profiles import DEFAULT


def define_flags(values: flags.FlagValues) -> None:
    """Defines every setting as a flag, and the profile they begin with."""
    flags.DEFINE_string(
        "profile",
        DEFAULT,
        "Settings to begin with: 'best', for every data set; 'paper2019' or "
        "'paper2021', for those of the papers; "
        "default: the recipe of the data set, if it has one.",
        flag_values=values,
    )
    config_module.define_flags(values)
