"""Whatever can be evaluated: a run, a checkpoint, a model file, or bare embeddings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from dce_tf.config import Config
from dce_tf.datasets import Images, Search, Splits
from dce_tf.errors import UsageError
from dce_tf.export.served import ServedModel
from dce_tf.export.versions import versions
from dce_tf.losses import Space, build_loss
from dce_tf.model import EmbeddingModel
from dce_tf.pipelines import PictureReader
from dce_tf.run_directory import RunDirectory
from dce_tf.runs.network import parameter_groups
from dce_tf.runs.outcome import load_best_model
from dce_tf.runs.session import build_extractor
from dce_tf.training.checkpoints import load_checkpoint
from dce_tf.training.evaluation import Embedder, Embeddings

KINDS = "a run directory, a checkpoint (.npz), a SavedModel, a .keras file or a .npy"

# Of data that was not trained on none is held out, as nothing is to be chosen.
_ALL_CLASSES = {"val_fraction": 0.0, "num_folds": 0, "fold": None, "select_on": "test"}


@dataclasses.dataclass(frozen=True)
class Source:
    """Something that can be evaluated.

    Attributes:
        path: What the user named.
        run: The run it is of, or None.
        open: Returns what embeds images, given the settings to do it with and what
            reads them.
    """

    path: Path
    run: RunDirectory | None
    open: Callable[[Config, PictureReader], Embedder]


def find_source(path: Path) -> Source:
    """Says what a path is; a `.npy` is for `stored_search`.

    Raises:
        ValueError: If it is nothing that can be evaluated.
    """
    if (path / "config.json").is_file():
        run = RunDirectory.opened(path)
        return Source(path, run, partial(_run_model, run, None))
    if path.suffix == ".npz" and path.is_file():
        run = RunDirectory.opened(path.parent.parent)
        return Source(path, run, partial(_run_model, run, path))
    if path.suffix == ".keras" and path.is_file():
        return Source(path, None, partial(_model_file, path))
    for folder in (path, path / str(max(versions(path), default=0))):
        if (folder / "saved_model.pb").is_file():
            return Source(path, None, partial(_served_model, folder))
    raise ValueError(
        f"{path} is nothing that can be evaluated; expected {KINDS}. "
        "`python main.py browse` lists the runs."
    )


def _run_model(
    run: RunDirectory, checkpoint: Path | None, config: Config, reader: PictureReader
) -> Embedder:
    model = load_best_model(run)
    if checkpoint is not None:
        load_checkpoint(checkpoint, model.variables)
        if run.config().ema:
            _load_average(checkpoint, model, run.config())
    return build_extractor(model, config, reader)


def _load_average(path: Path, model: EmbeddingModel, config: Config) -> None:
    """Assigns the average of the weights, as which each epoch was scored.

    It stands last in a checkpoint, and has all that was trained: the model, then what
    the loss learns.
    """
    layer = model.embedding
    # How many classes there were changes the size, not the number, of what it learns.
    space = Space(layer.units, 2, layer.num_learners, layer.learner_units, layer.part)
    loss = build_loss(config.loss, space, config.miner)
    groups = parameter_groups(config, model, loss)
    trained = [variable for group in groups for variable in group.variables]
    of_model = trained[: len(trained) - len(loss.trainable_variables)]
    with np.load(path, allow_pickle=False) as stored:
        names = sorted(name for name in stored.files if name.startswith("variable-"))
        averages = [stored[name] for name in names[-len(trained) :]]
    for variable, average in zip(of_model, averages, strict=False):
        variable.assign(average)


def _model_file(path: Path, config: Config, reader: PictureReader) -> Embedder:
    model = keras.models.load_model(path, compile=False)
    if not isinstance(model, EmbeddingModel):
        model = UnitLength(model)
    return build_extractor(model, config, reader)


def _served_model(folder: Path, config: Config, reader: PictureReader) -> Embedder:
    del reader  # It decodes the files itself.
    return ServedModel(
        folder,
        batch_size=config.evaluation_batch_size,
        num_workers=config.num_workers,
    )


class UnitLength(keras.Model):
    """Makes an embedder of any Keras model: pools a feature map, scales to length 1.

    Args:
        model: From images, float `(batch, height, width, 3)`, 0 to 255, to a feature
            map or vector.
    """

    def __init__(self, model: keras.Model) -> None:
        super().__init__()
        self.model = model

    def call(self, images: Any) -> Any:
        """Returns embeddings, float32 `(batch, embedding_dim)`."""
        features = tf.cast(self.model(images, training=False), tf.float32)
        if len(features.shape) == 4:
            features = tf.reduce_mean(features, axis=(1, 2))
        return tf.math.l2_normalize(features, axis=1)


class StoredEmbeddings:
    """Embeddings that were made elsewhere; the path of an image is its row.

    Args:
        files: `.npy` files, float `(num_images, embedding_dim)`, one after the other.

    Raises:
        ValueError: If a file is not such an array, or they do not fit together.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        parts = [_load_array(file) for file in files]
        widths = {part.shape[1] for part in parts}
        if len(widths) > 1:
            raise ValueError(
                f"{files[0]} and {files[1]} hold embeddings of different widths: "
                f"{sorted(widths)}."
            )
        self._array = np.concatenate(parts)
        self.sizes = [len(part) for part in parts]

    def embeddings(
        self, paths: Sequence[str], on_batch: Callable[[int], None] = lambda _: None
    ) -> Embeddings:
        """Returns embeddings; see `Embedder`."""
        on_batch(len(paths))
        return self._array[[int(path) for path in paths]]


def stored_search(
    files: Sequence[Path], labels: Sequence[Path]
) -> tuple[StoredEmbeddings, Splits]:
    """Makes a search of embeddings and labels in files.

    Args:
        files: The `.npy` of the queries and, if it is another, that of the gallery.
        labels: The labels of each: `.npy`, or a text file with a label a line.

    Returns:
        What hands the embeddings out, and splits whose test is the search.

    Raises:
        ValueError: If a file is not of its format, or the numbers do not fit.
    """
    stored = StoredEmbeddings(files)
    names = [_load_labels(path) for path in labels]
    for path, given, size in zip(labels, names, stored.sizes, strict=True):
        if len(given) != size:
            raise ValueError(
                f"{path}: found {len(given)} labels; expected {size}, one for each "
                "embedding."
            )
    rows = [str(row) for row in range(sum(stored.sizes))]
    everything = Images.from_names(rows, [name for part in names for name in part])
    cut = np.arange(stored.sizes[0])
    query = gallery = everything.keep(cut)
    if len(files) > 1:
        gallery = everything.keep(np.arange(len(cut), len(rows)))
    return stored, Splits(everything, None, (Search("test", query, gallery),))


def _load_array(path: Path) -> npt.NDArray[np.float32]:
    array = _load(path)
    if array.ndim != 2 or not np.issubdtype(array.dtype, np.number) or not len(array):
        raise ValueError(
            f"{path}: found an array of {array.dtype}, shape {array.shape}; expected "
            "numbers, (num_images, embedding_dim)."
        )
    return array.astype(np.float32)


def _load(path: Path) -> npt.NDArray[Any]:
    try:
        array: npt.NDArray[Any] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{path}: cannot be read as .npy: {error}") from error
    return array


def _load_labels(path: Path) -> list[str]:
    if path.suffix == ".npy":
        return [str(label) for label in _load(path).ravel().tolist()]
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from error


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
        if given.get("dataset", own.dataset) != own.dataset:
            given = {**_ALL_CLASSES, **given}
        return dataclasses.replace(own, **given)
    if "dataset" not in given:
        raise UsageError(
            f"{source.path} does not say what it is to be tested on. Give --dataset "
            "and --data_dir, or a run directory."
        )
    if source.path.suffix == ".keras" and "image_size" not in given:
        raise UsageError(
            f"{source.path} does not say how large its images are. Give --image_size, "
            "as in training, or a run directory."
        )
    return plain_config(given)


def plain_config(given: Mapping[str, Any]) -> Config:
    """Returns the settings to evaluate with what is of no run.

    Args:
        given: What the command line says.
    """
    values = {"num_clusters": 1, **_ALL_CLASSES, **given}
    # How wide the embedding is shows when it is there.
    return Config(**values, embedding_dim=values["num_clusters"])
