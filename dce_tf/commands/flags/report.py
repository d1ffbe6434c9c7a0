"""Explain one or several runs on one page: `report RUN…`.

Writes one HTML file that needs no network: curves, what differs between the runs, what
dividing gave, failures with the right picture beside the wrong one, confused classes,
what each learner sees, thresholds, recall against bytes, and where the time went. What
takes the model and the images is shown for the first run named.
"""

from __future__ import annotations

from absl import flags

from dce_tf import config as config_module
from dce_tf.commands.flags.calibrate import OVERRIDES
from dce_tf.commands.selecting import define_verbose_flag


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of the command."""
    config_module.define_flags(values, OVERRIDES, unset=True)
    flags.DEFINE_string(
        "output",
        None,
        "The HTML file; default: report.html in the first run.",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "images",
        True,
        "Read the images and the model of the first run; without them, only what the "
        "runs have stored is shown.",
        flag_values=values,
    )
    define_verbose_flag(values)
