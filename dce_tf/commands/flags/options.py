"""List what can be named in a flag, with options and defaults: `options [KIND]`."""

from __future__ import annotations

from absl import flags

from dce_tf import config as config_module


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of the command."""
    flags.DEFINE_bool("markdown", False, "As tables for a page.", flag_values=values)
    config_module.define_flags(values, ["plugin", "verbose"])
