"""Embeds images into Parquet files."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import tensorflow as tf

from dce_tf.base.errors import UsageError
from dce_tf.base.program import PROGRAM, tell_to_install
from dce_tf.commands.flags.embed import SETTINGS
from dce_tf.commands.selecting import named_path, values_of
from dce_tf.config import Config
from dce_tf.embedding.image_list import Inputs, of_data_set
from dce_tf.embedding.job import Engine, Job, Outcome, embed, embed_here, remove_old
from dce_tf.embedding.parquet_list import list_images
from dce_tf.export import resolve_version
from dce_tf.export.served import ServedModel
from dce_tf.record import format_seconds
from dce_tf.record.run_directory import RunDirectory
from dce_tf.reports.display import Display
from dce_tf.runs import devices
from dce_tf.runs.loading import read_splits
from dce_tf.runs.own_data import other_data
from dce_tf.runs.plain import plain_config
from dce_tf.runs.plugged import settings_of


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
    display = Display()
    inputs = _inputs(settings, config, run_directory, display)
    model = ServedModel(
        version,
        batch_size=config.data.evaluation_batch_size,
        num_workers=config.data.num_workers,
    )
    job = Job(
        model,
        inputs,
        folder,
        shard=settings["shard"],
        num_shards=settings["num_shards"],
        part_size=settings["part_size"],
        max_bad_images=config.data.max_bad_images,
        max_image_pixels=config.data.max_image_pixels,
    )
    if settings["overwrite"]:
        remove_old(job)
    _show(embed(job, display, engine), folder, display)
    return 0


def _config(settings: Mapping[str, Any], run: RunDirectory | None) -> Config:
    given = values_of(settings, SETTINGS)
    return settings_of(run, given) if run else plain_config(given)


def _engine(settings: Mapping[str, Any], config: Config) -> Engine:
    if settings["engine"] == "local":
        for name in ("ray_address", "num_actors"):
            if settings[name]:
                raise UsageError(f"--{name} goes with --engine=ray. Pass both.")
        devices.configure(config.run, config.network.mixed_precision)
        return embed_here
    if settings["cuda_device"] is not None:
        raise UsageError(
            "--cuda_device: Ray itself gives each actor its GPU. Leave it out."
        )
    try:
        from dce_tf.embedding import on_ray
    except ImportError as error:
        raise UsageError(
            f"--engine=ray needs Ray ({error}): {tell_to_install('scale')}."
        ) from error
    # They are the actors'.
    tf.config.set_visible_devices([], "GPU")
    return partial(
        on_ray.embed_on_ray,
        config=config.replace(cuda_device=None),
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
    settings: Mapping[str, Any],
    config: Config,
    run: RunDirectory | None,
    display: Display,
) -> Inputs:
    if settings["images"] is None:
        if run is None and settings["dataset"] is None:
            raise UsageError(
                "What is to be embedded? Pass --images=FOLDER, --images=LIST.csv, or "
                "--dataset and --data_dir; only a run directory knows its data."
            )
        splits = read_splits(config.data)
        if run is not None and (other := other_data(run, splits)):
            display.note(f"Warning: {other}")
        return of_data_set(splits, settings["split"] or "gallery", config.data.data_dir)
    for name in ("dataset", "data_dir", "split"):
        if settings[name] is not None:
            raise UsageError(f"--images and --{name} do not go together. Pass one.")
    return list_images(
        settings["images"],
        root=settings["image_root"],
        number_ids=settings["number_ids"],
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
    display.try_next(f"{PROGRAM} index {shlex.quote(str(folder))}")
