"""Find what is wrong with a data set: `doctor SOURCE --dataset=… [--images=…]`.

SOURCE is a run directory, one of its checkpoints, a SavedModel, also as
`hf://user/name`, or a `.keras` file, which embeds the images; or embeddings that are
there: a folder that `embed` wrote, or a `.npy` with a row for each image, split after
split: train, val, then test or query and gallery. Looks for copies, leaks between
splits, wrong labels, classes that look like one or like two, outliers, bursts, and
pictures that are dark, blurred, empty, tiny or broken.

Writes `findings.csv`, whose column `verdict` is yours to fill in for `data
--make_index=… --verdicts=findings.csv`, `report.html` to look at it, and `doctor.json`,
into RUN/doctor or --output_dir. No image is changed or removed.
"""

from __future__ import annotations

from absl import flags

from dce_tf import config as config_module
from dce_tf.commands.selecting import define_run_flag

OVERRIDES = (
    "dataset",
    "data_dir",
    "allow_partial_data",
    "max_image_pixels",
    "image_size",
    "exclude",
    "random_seed",
    "num_workers",
    "evaluation_batch_size",
    "cuda_device",
    "plugin",
)


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of the command."""
    define_run_flag(values)
    config_module.define_flags(values, OVERRIDES, unset=True)
    for name, text in (
        (
            "images",
            "Instead of a data set: a folder of images, or a list of them, .csv or "
            ".parquet, with a column path and perhaps label and split.",
        ),
        ("output_dir", "Where to write; default: RUN/doctor, or ./doctor."),
    ):
        flags.DEFINE_string(name, None, text, flag_values=values)
    flags.DEFINE_bool(
        "pictures",
        True,
        "Read the image files; without, copies are looked for by embedding alone.",
        flag_values=values,
    )
    flags.DEFINE_float(
        "near_cosine",
        None,
        "Least cosine of near copies; default: 0.65, and 0.98 without pictures.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "near_bits",
        4,
        "Most bits of 64 in which perceptual hashes of near copies differ.",
        lower_bound=0,
        upper_bound=32,
        flag_values=values,
    )
    flags.DEFINE_bool("json", False, "Print the result as JSON.", flag_values=values)
