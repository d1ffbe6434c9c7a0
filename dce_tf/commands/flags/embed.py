"""Embed images into Parquet files: `embed SOURCE [--images=FOLDER_OR_LIST]`.

SOURCE is a run directory, a folder of exported versions or one version, also as
`hf://user/name`. What is embedded is the gallery of the run's own test, another --split
of it or of any --dataset, all images of a folder, or those of a list, CSV or Parquet,
with a column `path` and perhaps `id` and `label`; other columns become metadata. Lists
and images may lie in a store, s3://… or gs://…. Writes part-….parquet to
RUN/embeddings/ or --output_dir; images that cannot be read go to bad-….parquet with the
reason.

The same command goes on where it was stopped. --engine=ray embeds on a Ray cluster. By
hand, several jobs share the work: --num_shards=8 and --shard=0 to --shard=7. `index`
makes a search of the result.
"""

from __future__ import annotations

from absl import flags

from dce_tf import config as config_module
from dce_tf.commands.selecting import define_run_flag

SETTINGS = (
    "dataset",
    "data_dir",
    "allow_partial_data",
    "max_bad_images",
    "max_image_pixels",
    "num_workers",
    "evaluation_batch_size",
    "cuda_device",
    "plugin",
)


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of the command."""
    define_run_flag(values)
    config_module.define_flags(values, SETTINGS, unset=True)
    flags.DEFINE_enum(
        "split",
        None,
        ("gallery", "query", "test", "train", "val", "all"),
        "Which part of the data set; default: gallery. 'test' is queries and gallery.",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "engine", "local", ("local", "ray"), "What embeds.", flag_values=values
    )
    for name, text in (
        ("images", "A folder of images, or a list of them, .csv or .parquet."),
        ("image_root", "Where the paths of a list begin; default: its own folder."),
        ("ray_address", "Of a Ray cluster; default: RAY_ADDRESS, or this machine."),
        ("output_dir", "Where to write; default: RUN/embeddings."),
    ):
        flags.DEFINE_string(name, None, text, flag_values=values)
    for name, default, lowest, text in (
        ("shard", 0, 0, "Which of the jobs this is, from 0."),
        ("num_shards", 1, 1, "How many jobs share the images."),
        ("part_size", 10_000, 1, "Images per file: what a stop can cost."),
        ("num_actors", 0, 0, "Models on Ray; 0: one a GPU, else one a machine."),
    ):
        flags.DEFINE_integer(
            name, default, text, lower_bound=lowest, flag_values=values
        )
    flags.DEFINE_bool(
        "number_ids", False, "The ids of a list are integers.", flag_values=values
    )
    flags.DEFINE_bool(
        "overwrite",
        False,
        "Embed again: remove what this shard has written, and files of another model "
        "or another --num_shards.",
        flag_values=values,
    )
