"""Embed images into Parquet files: `embed SOURCE [--images=FOLDER_OR_LIST]`.

SOURCE is a run directory, a folder of exported versions or one version. What is
embedded is the gallery of the run's own test, another --split of it or of any
--dataset, all images of a folder, or those of a list, CSV or Parquet, with a column
`path` and perhaps `id` and `label`; other columns become metadata. Lists and images may
lie in a store, s3://… or gs://…. Writes part-….parquet to RUN/embeddings/ or
--output_dir; images that cannot be read go to bad-….parquet with the reason.

The same command goes on where it was stopped. --engine=ray embeds on a Ray cluster. By
hand, several jobs share the work: --num_shards=8 and --shard=0 to --shard=7. `index`
makes a search of the result.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import tensorflow as tf
from absl import flags

from dce_tf import config as config_module
from dce_tf import devices
from dce_tf.config import Config
from dce_tf.datasets import DATASETS
from dce_tf.errors import UsageError
from dce_tf.export import resolve_version
from dce_tf.export.served import ServedModel
from dce_tf.remote import place_of
from dce_tf.run_directory import RunDirectory
from dce_tf.runs.embedding import Engine, Job, Outcome, embed, embed_here, remove_old
from dce_tf.runs.inputs import SPLITS, Inputs, of_data_set, of_folder, of_list
from dce_tf.runs.parquet_list import of_parquet
from dce_tf.runs.selecting import define_run_flag, named_path
from dce_tf.runs.sources import plain_config
from dce_tf.training.display import Display, format_seconds

_SETTINGS = (
    "dataset",
    "data_dir",
    "allow_partial_data",
    "max_bad_images",
    "max_image_pixels",
    "num_workers",
    "evaluation_batch_size",
    "cuda_device",
)


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of the command."""
    define_run_flag(values)
    config_module.define_flags(values, _SETTINGS, unset=True)
    flags.DEFINE_enum(
        "split",
        None,
        SPLITS,
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
        ("part_size", 10_000, 1, "Images a file: what a stop can cost."),
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
        "Embed anew: remove what this shard has written, and files of another model or "
        "another --num_shards.",
        flag_values=values,
    )


def run(settings: Mapping[str, Any], arguments: Sequence[str]) -> int:
    """Embeds."""
    path = named_path(settings, arguments)
    version = resolve_version(path)
    run_directory = RunDirectory(path) if (path / "config.json").is_file() else None
    config = _config(settings, run_directory)
    folder = _output(settings, run_directory)
    if settings["shard"] >= settings["num_shards"]:
        raise UsageError(
            f"--shard={settings['shard']}: expected one below "
            f"--num_shards={settings['num_shards']}, from 0."
        )
    engine = _engine(settings, config)
    inputs = _inputs(settings, config, run_directory)
    display = Display()
    model = ServedModel(
        version,
        batch_size=config.evaluation_batch_size,
        num_workers=config.num_workers,
    )
    job = Job(
        model,
        inputs,
        folder,
        shard=settings["shard"],
        num_shards=settings["num_shards"],
        part_size=settings["part_size"],
        max_bad_images=config.max_bad_images,
        max_image_pixels=config.max_image_pixels,
    )
    if settings["overwrite"]:
        remove_old(job)
    _show(embed(job, display, engine), folder, display)
    return 0


def _config(settings: Mapping[str, Any], run: RunDirectory | None) -> Config:
    given = {name: settings[name] for name in _SETTINGS if settings[name] is not None}
    return dataclasses.replace(run.config(), **given) if run else plain_config(given)


def _engine(settings: Mapping[str, Any], config: Config) -> Engine:
    if settings["engine"] == "local":
        for name in ("ray_address", "num_actors"):
            if settings[name]:
                raise UsageError(f"--{name} goes with --engine=ray. Pass both.")
        devices.configure(config)
        return embed_here
    if settings["cuda_device"] is not None:
        raise UsageError(
            "--cuda_device: Ray itself gives each actor its GPU. Leave it out."
        )
    try:
        from dce_tf.runs import on_ray
    except ImportError as error:
        raise UsageError(
            f"--engine=ray needs Ray ({error}). In the checkout: "
            "`pip install '.[scale]'`."
        ) from error
    # They are the actors'.
    tf.config.set_visible_devices([], "GPU")
    return partial(
        on_ray.embed_on_ray,
        config=dataclasses.replace(config, cuda_device=None),
        cluster=on_ray.Cluster(settings["ray_address"], settings["num_actors"]),
    )


def _output(settings: Mapping[str, Any], run: RunDirectory | None) -> Path:
    if settings["output_dir"]:
        return Path(settings["output_dir"])
    if run is None:
        raise UsageError(
            "Where to? Pass --output_dir; only a run directory has a place of its own."
        )
    return run.embeddings


def _inputs(
    settings: Mapping[str, Any], config: Config, run: RunDirectory | None
) -> Inputs:
    if settings["images"] is None:
        if run is None and settings["dataset"] is None:
            raise UsageError(
                "What is to be embedded? Pass --images=FOLDER, --images=LIST.csv, or "
                "--dataset and --data_dir; only a run directory knows its data."
            )
        splits = DATASETS.build(
            config.dataset,
            data_dir=config.data_dir,
            allow_partial_data=config.allow_partial_data,
        )
        return of_data_set(splits, settings["split"] or "gallery", config.data_dir)
    for name in ("dataset", "data_dir", "split"):
        if settings[name] is not None:
            raise UsageError(f"--images and --{name} do not go together. Pass one.")
    images, root = place_of(settings["images"]), settings["image_root"]
    if not images.exists():
        raise UsageError(f"--images={images}: there is no such file or folder.")
    of_file = of_parquet if images.suffix == ".parquet" else of_list
    if images.is_dir() and of_file is of_list:
        return of_folder(images)
    return of_file(
        images, root=place_of(root) if root else None, number_ids=settings["number_ids"]
    )


def _show(outcome: Outcome, folder: Path, display: Display) -> None:
    made = outcome.images - outcome.kept
    rate = f", {made / outcome.seconds:.0f} a second" if made else ""
    display.note(
        f"{made} images embedded in {format_seconds(outcome.seconds)}{rate}; "
        f"{outcome.kept} were there, {outcome.bad} cannot be read."
    )
    if outcome.bad:
        display.note(f"What cannot be read, and why: {folder}/bad-*.parquet")
    display.note(f"Written: {folder}")
    display.note(f"Try next:  python main.py index {folder}")
