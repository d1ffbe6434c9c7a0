"""Go from a folder of photographs to a search page: `quickstart DIR`.

DIR holds a folder of photographs for each class, or what `--dataset=folder` and
`--dataset=csv` read. Says what it found, what it will do and about how long that takes,
then trains, learns what scores mean, embeds, indexes, and serves the page. Each step is
a command that is printed, and that can be repeated by itself.

The same command goes on where it was stopped. The flags of `train` win over what it
chooses; without --backbone it downloads a pretrained network once.
"""

from __future__ import annotations

from absl import flags

from dce_tf import config as config_module
from dce_tf.config.whole import all_fields

# DIR says which data, and a single run is made, which is embedded with.
_NOT_TAKEN = ("dataset", "data_dir", "num_folds", "fold", "export")
SETTINGS = tuple(f.name for f in all_fields() if f.name not in _NOT_TAKEN)


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of the command, and the settings of train that it takes."""
    flags.DEFINE_bool("serve", True, "Serve the page at the end.", flag_values=values)
    flags.DEFINE_bool(
        "open",
        None,
        "Open the page in a browser; default: where there is a display.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "port",
        None,
        "Port of the page; default: 8501, or a free one where that is taken.",
        lower_bound=0,
        flag_values=values,
    )
    flags.DEFINE_bool(
        "dry_run", False, "Say what would be done, and end.", flag_values=values
    )
    config_module.define_flags(
        values, SETTINGS, unset=True, otherwise="chosen by what was measured"
    )
