"""Say what a score means: `calibrate RUN`.

Learns from the validation classes of a run, which it was not trained on, from which
cosine on two images are said to be the same, for a wanted share of false accepts, and
which probability a cosine has. Writes `calibration.json` into the run; `export` copies
it into the SavedModel's card, and `index` from there into the index, for `search` and
`serve`. Refused where the classes are too few, with how many it takes.
"""

from __future__ import annotations

from absl import flags

from dce_tf import config as config_module
from dce_tf.commands.selecting import define_run_flag

OVERRIDES = (
    "data_dir",
    "allow_partial_data",
    "max_bad_images",
    "cache_images",
    "cache_dir",
    "num_workers",
    "evaluation_batch_size",
    "cuda_device",
    "plugin",
)


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of the command."""
    define_run_flag(values)
    config_module.define_flags(values, OVERRIDES, unset=True)
    flags.DEFINE_float(
        "far",
        None,
        "Share of pairs of two classes that the threshold may accept, such as 1e-3; "
        "default: the lowest of 0.1, 0.01, 0.001 and 0.0001 that the classes carry.",
        flag_values=values,
    )
    flags.DEFINE_bool("json", False, "Print the result as JSON.", flag_values=values)
