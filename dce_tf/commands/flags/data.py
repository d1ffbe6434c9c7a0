"""Look at a data set before training: counts, and every image decoded once.

Exits with 1 if it cannot be trained on. Broken images, and those that are in two
classes or two splits byte for byte, are listed in `data_problems.json`.
`--make_index=FILE` writes the data set as a CSV index, for `--dataset=csv`; with
`--verdicts=findings.csv`, what `doctor` found and you decided on, without the images
you dropped and with those you relabelled in their new class.
"""

from __future__ import annotations

from absl import flags

from dce_tf import config as config_module

_SETTINGS = (
    "dataset",
    "data_dir",
    "allow_partial_data",
    "max_bad_images",
    "max_image_pixels",
    "num_workers",
    "plugin",
)


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of the command."""
    config_module.define_flags(values, [*_SETTINGS, "verbose"])
    for name, default, text in (
        ("make_index", None, "Write the data set as this CSV index."),
        ("output_dir", ".", "Where to write data_problems.json; default: here."),
    ):
        flags.DEFINE_string(name, default, text, flag_values=values)
    flags.DEFINE_list(
        "verdicts",
        [],
        "Tables of `doctor` with your verdicts, which --make_index applies.",
        flag_values=values,
    )
