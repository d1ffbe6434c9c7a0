"""Whatever embeds and can be evaluated: a run, a checkpoint, a model file."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dce_tf.base.errors import UsageError
from dce_tf.base.program import PROGRAM
from dce_tf.config import Config
from dce_tf.evaluation.evaluator import Embedder
from dce_tf.export.served import ServedModel
from dce_tf.export.versions import versions
from dce_tf.hub.address import name_of
from dce_tf.losses import build_loss
from dce_tf.network.backbones.adapters import add_adapters
from dce_tf.network.model import EmbeddingModel
from dce_tf.record.run_directory import RunDirectory
from dce_tf.runs.model_file import ModelFile
from dce_tf.runs.network import parameter_groups
from dce_tf.runs.outcome import load_best_model
from dce_tf.runs.plain import ALL_CLASSES, plain_config
from dce_tf.runs.plugged import settings_of
from dce_tf.runs.session import build_extractor
from dce_tf.training.checkpoints import load_checkpoint
from dce_tf.training.pipelines import PictureReader

KINDS = "a run directory, a checkpoint (.npz), a SavedModel, a .keras file or a .npy"


@dataclasses.dataclass(frozen=True)
class Source:
    """Something that can be evaluated.

    Attributes:
        path: What the user named.
        run: The run it is of, or None.
        open: Returns what embeds images, given the settings to do it with and what
            reads them.
        image_size: Returns the side of its images, if it takes one size only.
    """

    path: Path
    run: RunDirectory | None
    open: Callable[[Config, PictureReader], Embedder]
    image_size: Callable[[], int | None] = lambda: None


def find_source(path: Path) -> Source:
    """Says what a path is; a `.npy` is for `stored.stored_search`.

    Raises:
        ValueError: If it is nothing that can be evaluated.
    """
    if (path / "config.json").is_file():
        run = RunDirectory.opened(path)
        return Source(path, run, partial(_run_model, run, None))
    if path.suffix == ".npz" and path.is_file():
        return _checkpoint(path)
    if path.suffix == ".keras" and path.is_file():
        file = ModelFile(path)
        return Source(path, None, file.open, file.image_size)
    for folder in (path, path / str(max(versions(path), default=0))):
        if (folder / "saved_model.pb").is_file():
            return Source(path, None, partial(_served_model, folder))
    raise ValueError(
        f"{path} is nothing that can be evaluated; expected {KINDS}. "
        f"`{PROGRAM} browse` lists the runs."
    )


def _checkpoint(path: Path) -> Source:
    run = RunDirectory(path.parent.parent)
    if not run.config_file.is_file():
        raise ValueError(
            f"{path} is no checkpoint of a run, which lies in RUN/checkpoints/. For "
            "embeddings, save the array that is wanted by itself: "
            "numpy.save('embeddings.npy', array)."
        )
    return Source(path, run, partial(_run_model, run, path))


def _run_model(
    run: RunDirectory, checkpoint: Path | None, config: Config, reader: PictureReader
) -> Embedder:
    model = load_best_model(run)
    if checkpoint is not None:
        own = run.config()
        if own.network.lora_rank:
            # The best model has plain layers, which a checkpoint does not.
            add_adapters(model.backbone, own.network.lora_rank, own.network.lora_alpha)
        load_checkpoint(checkpoint, model.variables)
        if own.optimizer.ema:
            _load_average(checkpoint, model, own)
    return build_extractor(model, config.data, reader)


def _load_average(path: Path, model: EmbeddingModel, config: Config) -> None:
    """Assigns the average of the weights, as which each epoch was scored.

    It stands last in a checkpoint, and has all that was trained: the model, then what
    the loss learns.
    """
    # How many classes there were changes the size, not the number, of what it learns.
    loss = build_loss(
        config.loss.loss, model.space, 2, config.loss.miner, class_counts=(2, 2)
    )
    groups = parameter_groups(model, loss, config.optimizer, config.division)
    trained = [variable for group in groups for variable in group.variables]
    of_model = trained[: len(trained) - len(loss.trainable_variables)]
    with np.load(path, allow_pickle=False) as stored:
        names = sorted(name for name in stored.files if name.startswith("variable-"))
        averages = [stored[name] for name in names[-len(trained) :]]
    for variable, average in zip(of_model, averages, strict=False):
        variable.assign(average)


def _served_model(folder: Path, config: Config, reader: PictureReader) -> Embedder:
    del reader  # It decodes the files itself.
    return ServedModel(
        folder,
        batch_size=config.data.evaluation_batch_size,
        num_workers=config.data.num_workers,
    )


def config_for(source: Source, given: Mapping[str, Any]) -> Config:
    """Returns the settings to evaluate a source with.

    Args:
        source: What to evaluate.
        given: What the command line says; it wins over the run's own settings.

    Raises:
        UsageError: If the data set or the size of images is not known.
    """
    if source.run is not None:
        own = source.run.config()
        if given.get("dataset", own.data.dataset) != own.data.dataset:
            given = {**ALL_CLASSES, **given}
        return settings_of(source.run, given)
    if "dataset" not in given:
        raise UsageError(
            f"{name_of(source.path)} does not say what it is to be tested on. Give "
            "--dataset and --data_dir, or a run directory."
        )
    if source.path.suffix == ".keras" and "image_size" not in given:
        size = source.image_size()
        if size is None:
            raise UsageError(
                f"{source.path} takes images of any size. Give --image_size, as in "
                "training, or a run directory."
            )
        given = {**given, "image_size": size}
    return plain_config(given)
