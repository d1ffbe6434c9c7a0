"""List all runs under a folder, the best first: `browse LOGDIR [--csv]`."""

from __future__ import annotations

from absl import flags

from dce_tf.commands.selecting import define_verbose_flag


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of the command."""
    flags.DEFINE_bool("csv", False, "Print as CSV.", flag_values=values)
    define_verbose_flag(values)
