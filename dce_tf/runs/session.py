"""The parts of a run, put together from its settings."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from dce_tf.augmentation import AUGMENTATIONS
from dce_tf.backbones import check_backbone
from dce_tf.clustering import Division
from dce_tf.config import Config
from dce_tf.datasets import DATASETS, Images, Splits
from dce_tf.errors import UsageError
from dce_tf.faiss_backend import check_installation, use_gpu
from dce_tf.losses import check_loss
from dce_tf.model import EmbeddingModel
from dce_tf.pipelines import (
    ClusterPipelines,
    EpochBatches,
    EpochPlanner,
    FeaturePipelines,
    PictureReader,
    Share,
)
from dce_tf.run_directory import RunDirectory
from dce_tf.runs.network import build_trainer, has_fixed_features
from dce_tf.sampling import SAMPLERS
from dce_tf.training.averaging import AveragedEmbedder
from dce_tf.training.display import Display
from dce_tf.training.evaluation import Embedder, Evaluator
from dce_tf.training.extractor import Extractor, FixedFeatures, RunningFeatures
from dce_tf.training.inheritance import inherit_masks
from dce_tf.training.optimizer import OPTIMIZERS
from dce_tf.training.rates import build_rates
from dce_tf.training.recluster import Recluster
from dce_tf.training.schedule import Schedule
from dce_tf.training.trainer import Trainer
from dce_tf.training.workers import Workers


def check(config: Config) -> Schedule:
    """Checks every name and combination before anything is written.

    Returns:
        The stages of the run.

    Raises:
        UsageError: If the settings cannot work.
    """
    if config.num_folds and config.fold is None:
        raise UsageError(
            f"num_folds={config.num_folds} without fold; expected a fold below it. "
            "dce_tf.runs.folds.cross_validate trains them all."
        )
    _check_features_dir(config)
    check_installation()
    use_gpu(config.backend)
    DATASETS.check(config.dataset)
    check_backbone(config.backbone)
    check_loss(config.loss, config.miner)
    SAMPLERS.build(config.sampler)
    AUGMENTATIONS.build(config.augmentation)
    OPTIMIZERS.check(config.optimizer)
    build_rates(config.lr_schedule, config.num_epochs, config.warmup_epochs)
    return Schedule(
        num_epochs=config.num_epochs,
        full_embedding_epoch=config.full_embedding_from,
        finetune_epoch=config.finetune_from,
        recluster_every=config.recluster_every,
        num_clusters=config.num_clusters,
        hierarchical=config.hierarchical,
        freeze_backbone_epochs=config.freeze_backbone_epochs,
    )


def _check_features_dir(config: Config) -> None:
    if config.features_dir and not config.kmeans_points:
        raise UsageError(
            "--features_dir keeps features out of memory, and k-means on all of them "
            "would want them there. Pass --kmeans_points, such as 1000000."
        )
    if config.features_dir and config.cluster_features == "running":
        raise UsageError(
            "--features_dir: --cluster_features=running keeps them in memory and in "
            "every checkpoint. Use --cluster_features=pass."
        )


def check_batches(config: Config, num_replicas: int) -> None:
    """Checks that batches can be cut for all devices.

    Args:
        config: The settings.
        num_replicas: How many devices train, in all processes.

    Raises:
        UsageError: If they cannot, or a device would get part of a class group.
    """
    unit = num_replicas
    if config.mining == "replica":
        unit *= config.samples_per_class
    if config.batch_size % unit:
        near = max(1, round(config.batch_size / unit)) * unit
        while near % config.samples_per_class or near < 2 * config.samples_per_class:
            near += unit
        groups = " whole class groups" if config.mining == "replica" else ""
        raise UsageError(
            f"--batch_size={config.batch_size} cannot be cut for {num_replicas} "
            f"devices{groups and ' into' + groups}. The nearest that works is "
            f"--batch_size={near}."
        )
    if config.cluster_features == "running" and num_replicas > 1:
        raise UsageError(
            "--cluster_features=running gathers the features of one device; "
            f"{num_replicas} train. Use --cluster_features=pass."
        )


@dataclasses.dataclass(frozen=True)
class Session:
    """A run in memory.

    Attributes:
        trainer: The loop.
        recluster: Divides.
        evaluator: Scores.
        runner: Runs the model over images.
        running: The features that are gathered while training, if they are.
    """

    trainer: Trainer
    recluster: Recluster
    evaluator: Evaluator
    runner: Extractor | FixedFeatures
    running: RunningFeatures | None


def build_session(
    config: Config,
    schedule: Schedule,
    splits: Splits,
    reader: PictureReader,
    run: RunDirectory,
    workers: Workers,
    display: Display,
) -> Session:
    """Builds the parts of a run on data that is read."""
    strategy = workers.strategy
    running = RunningFeatures() if config.cluster_features == "running" else None
    trainer = build_trainer(
        config,
        len(splits.train.class_names),
        strategy,
        keep_features=running.keep if running else None,
    )
    model = trainer.model
    runner: Extractor | FixedFeatures
    runner = build_extractor(model, config, reader, strategy)
    if has_fixed_features(config, model):
        if config.features_dir:
            raise UsageError(
                "--features_dir: the features of a backbone that does not train stay "
                "in memory, for every step. Leave the flag out."
            )
        runner = FixedFeatures(runner)
    embedder: Embedder = runner
    if trainer.average is not None:
        embedder = AveragedEmbedder(runner, trainer.average)
    evaluator = build_evaluator(embedder, config, splits, display)

    def extract() -> npt.NDArray[np.float32]:
        with display.task("features for clustering", len(splits.train)) as update:
            embedded = config.cluster_on == "embedding"
            run_model = runner.embeddings if embedded else runner.directions
            folder = config.features_dir
            into: Any = {"into": Path(folder)} if folder else {}
            return run_model(splits.train.paths, lambda done: update(done, ""), **into)

    recluster = _build_recluster(
        config,
        schedule,
        splits.train,
        run,
        trainer,
        extract=functools.partial(running.or_first, extract) if running else extract,
        build=_batch_builder(config, splits.train, reader, runner, workers.share),
    )
    return Session(trainer, recluster, evaluator, runner, running)


def build_extractor(
    model: EmbeddingModel,
    config: Config,
    reader: PictureReader | None = None,
    strategy: tf.distribute.Strategy | None = None,
) -> Extractor:
    """Builds what runs a model over images; without a strategy, on one device."""
    return Extractor(
        model,
        config.image_size,
        batch_size=config.evaluation_batch_size,
        strategy=strategy,
        num_workers=config.num_workers,
        reader=reader,
    )


def build_evaluator(
    embedder: Embedder, config: Config, splits: Splits, display: Display
) -> Evaluator:
    """Builds what scores embeddings as the settings say."""
    return Evaluator(
        embedder,
        splits.recall_at,
        map_at=splits.map_at,
        exclude=config.exclude,
        nmi_runs=config.nmi_runs,
        backend=config.backend,
        seed=config.random_seed,
        display=display,
    )


Builder = Callable[[Division, int, int], EpochBatches]


def _batch_builder(
    config: Config,
    train: Images,
    reader: PictureReader,
    runner: Extractor | FixedFeatures,
    share: Share,
) -> Builder:
    """Returns what builds the batches of an epoch after its first steps."""
    planner = EpochPlanner(
        train,
        batch_size=config.batch_size,
        samples_per_class=config.samples_per_class,
        seed=config.random_seed,
        sampler=SAMPLERS.build(config.sampler),
        cluster_batches=config.cluster_batches,
    )
    if isinstance(runner, FixedFeatures):

        @functools.cache
        def of_features() -> FeaturePipelines:
            return FeaturePipelines(planner, runner.features(train.paths), share)

        return lambda *place: of_features().build(*place)
    pipelines = ClusterPipelines(
        planner,
        image_size=config.image_size,
        augmentation=AUGMENTATIONS.build(config.augmentation),
        augment_on=config.augment_on,
        num_workers=config.num_workers,
        reader=reader,
        share=share,
    )
    return pipelines.build


def _build_recluster(
    config: Config,
    schedule: Schedule,
    train: Images,
    run: RunDirectory,
    trainer: Trainer,
    *,
    extract: Callable[[], npt.NDArray[np.float32]],
    build: Builder,
) -> Recluster:
    def deliver(division: Division, epoch: int) -> None:
        trainer.set_data(*build(division, epoch, trainer.first_step))

    def inherit(parents: npt.NDArray[np.int64]) -> None:
        inherit_masks(trainer.model.embedding, trainer.optimizer, parents)

    return Recluster(
        train.labels,
        schedule,
        extract,
        deliver,
        seed=config.random_seed,
        folder=run.clusters,
        inherit=inherit,
        workers=trainer.workers,
        adapt_centroids=config.adapt_centroids,
        min_classes=config.min_cluster_classes,
        tries=config.cluster_tries,
        balance=config.cluster_balance,
        backend=config.backend,
        num_iterations=config.kmeans_iterations,
        num_restarts=config.kmeans_restarts,
        num_sampled=config.kmeans_points,
    )
