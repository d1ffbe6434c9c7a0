"""Training on features that are computed once, with the parts of a run."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from benchmarks.ablation.ideas import BASE, LOSSES, NETWORKS, WHOLE_NETWORK
from dce_tf.clustering import Division
from dce_tf.config import Config
from dce_tf.datasets import Images
from dce_tf.datasets.validation import hold_out_classes
from dce_tf.retrieval import evaluate_retrieval
from dce_tf.runs.loading import read_splits
from dce_tf.runs.network import build_model, build_trainer
from dce_tf.runs.resolving import resolve
from dce_tf.runs.session import build_extractor, build_recluster, build_schedule
from dce_tf.sampling import SAMPLERS
from dce_tf.training.averaging import AveragedEmbedder
from dce_tf.training.extractor import FixedFeatures
from dce_tf.training.pipelines import EpochPlanner, FeaturePipelines
from dce_tf.training.trainer import Trainer

VAL_FRACTION = 0.2
LOOKS = 5  # How often a run is scored.

Features = npt.NDArray[np.float32]
Scores = dict[str, float]


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """Images and their features, float32 `(num_images, feature_dim)`."""

    images: Images
    features: Features

    def select(self, images: Images) -> Part:
        """Returns the part that has these images."""
        row = {path: number for number, path in enumerate(self.images.paths)}
        rows = [row[path] for path in images.paths]
        return Part(images, self.features[rows])


@dataclasses.dataclass(frozen=True, eq=False)
class Material:
    """A data set as features; query and gallery are the same part for leave-one-out."""

    train: Part
    query: Part
    gallery: Part


def read_material(where: Mapping[str, Any], backbone: str, cache: Path) -> Material:
    """Reads a data set, and runs the backbone over it, unless it was before.

    Args:
        where: Settings that name the data set.
        backbone: Of `--backbone`.
        cache: Folder that keeps features.
    """
    config = Config(**{**BASE, **where, "backbone": backbone})
    splits = read_splits(config.data)
    runner = FixedFeatures(build_extractor(build_model(config), config.data), cache)

    def part(images: Images) -> Part:
        return Part(images, runner.features(images.paths))

    query = part(splits.query)
    gallery = query if splits.leave_one_out else part(splits.gallery)
    return Material(part(splits.train), query, gallery)


def config_of(
    idea: str, loss: str, seed: int, epochs: int, *, whole: bool = False
) -> Config:
    """Returns the settings of a run.

    Args:
        idea: Of `NETWORKS`.
        loss: Of `LOSSES`.
        seed: Of the run, and of the classes that it holds out.
        epochs: How long it trains.
        whole: Whether the whole network trains, and not the embedding alone.
    """
    network = {}
    if whole:
        every = math.ceil(epochs / LOOKS)
        network = {
            **WHOLE_NETWORK,
            "val_fraction": VAL_FRACTION,
            "evaluate_every": every,
        }
    own = NETWORKS["whole" if whole else "frozen"][idea]
    settings = {**BASE, **network, "loss": LOSSES[loss], **own}
    return Config(**{**settings, "num_epochs": epochs, "random_seed": seed})


@dataclasses.dataclass(frozen=True, eq=False)
class Trained:
    """A run that has ended.

    Attributes:
        trainer: With the model as it is in the end.
        division: The last one.
        own: What it was trained on.
        searches: Queries and gallery of `"val"`, leave-one-out among the classes that
            were held out, and of `"test"`.
        scores: By epoch, from 1, those of either search.
    """

    trainer: Trainer
    division: Division
    own: Part
    searches: dict[str, tuple[Part, Part]]
    scores: dict[int, dict[str, Scores]]


def train(config: Config, material: Material) -> Trained:
    """Trains an embedding of the features, and scores it after some epochs.

    A fifth of the training classes is held out, the same for every idea with the seed.
    """
    keras.utils.set_random_seed(config.run.random_seed)
    left, held = hold_out_classes(
        material.train.images, VAL_FRACTION, config.run.random_seed
    )
    own, val = material.train.select(left), material.train.select(held)
    config = resolve(config, own.images)
    trainer = _trainer(config, own)
    searches = {"val": (val, val), "test": (material.query, material.gallery)}
    look = _Look(trainer, searches, config.division.num_epochs)
    schedule = build_schedule(config.division)
    recluster = build_recluster(
        config,
        schedule,
        own.images,
        trainer,
        extract=lambda: _clustered(config, trainer, own),
        build=_batches(config, own),
    )
    trainer.fit(schedule, [recluster, look])
    if recluster.division is None:
        raise RuntimeError("The training images were never divided.")
    return Trained(trainer, recluster.division, own, searches, look.scores)


def _trainer(config: Config, own: Part) -> Trainer:
    given = keras.layers.Input((own.features.shape[1],))
    # Its images are the features themselves.
    backbone = keras.Model(given, keras.layers.Identity()(given))
    counts = own.images.class_counts
    return build_trainer(
        config, counts, tf.distribute.get_strategy(), backbone=backbone
    )


def _batches(config: Config, own: Part) -> Callable[[Division, int, int], Any]:
    planner = EpochPlanner(
        own.images,
        batch_size=config.loss.batch_size,
        samples_per_class=config.loss.samples_per_class,
        seed=config.run.random_seed,
        sampler=SAMPLERS.build(config.loss.sampler),
        cluster_batches=config.division.cluster_batches,
    )
    return FeaturePipelines(planner, own.features).build


def _clustered(config: Config, trainer: Trainer, own: Part) -> Features:
    if config.division.cluster_on == "features":
        return own.features
    return _Embedder(trainer, {"own": own}).embeddings(["own"])


class _Embedder:
    """Embeds parts by their names, as `Evaluator` would by paths."""

    def __init__(self, trainer: Trainer, parts: Mapping[str, Part]) -> None:
        self._model = trainer.model
        self._parts = parts

    def embeddings(self, names: Sequence[str], on_batch: Any = None) -> Features:
        del on_batch
        features = [self._parts[name].features for name in names]
        return np.asarray(self._model.embed(np.concatenate(features)))


class _Look(keras.callbacks.Callback):
    """Scores the model after some epochs, the last one among them."""

    def __init__(
        self,
        trainer: Trainer,
        searches: Mapping[str, tuple[Part, Part]],
        num_epochs: int,
    ) -> None:
        super().__init__()
        self.scores: dict[int, dict[str, Scores]] = {}
        self._trainer = trainer
        self._searches = searches
        self._epochs = {
            round(num_epochs * look / LOOKS) for look in range(1, LOOKS + 1)
        }

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        del logs
        if epoch + 1 in self._epochs:
            self.scores[epoch + 1] = {
                name: self._score(*search) for name, search in self._searches.items()
            }

    def _score(self, query: Part, gallery: Part) -> Scores:
        embedder: Any = _Embedder(self._trainer, {"query": query, "gallery": gallery})
        if self._trainer.average is not None:
            embedder = AveragedEmbedder(embedder, self._trainer.average)
        scores = evaluate_retrieval(
            embedder.embeddings(["query"]),
            query.images.labels,
            embedder.embeddings(["gallery"]),
            gallery.images.labels,
            leave_one_out=query is gallery,
        )
        return {name: scores[name] for name in ("recall@1", "map@r")}
