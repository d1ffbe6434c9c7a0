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

from dce_tf.base.errors import UsageError
from dce_tf.base.plugins import load_plugins
from dce_tf.callbacks import CALLBACKS, specs_of
from dce_tf.clustering import Division
from dce_tf.clustering.faiss_backend import check_installation, use_gpu
from dce_tf.config import (
    Config,
    DataSettings,
    DivisionSettings,
    LossSettings,
)
from dce_tf.datasets import DATASETS, Images, Splits
from dce_tf.evaluation.evaluator import Embedder, Evaluator
from dce_tf.images.augmentation import AUGMENTATIONS
from dce_tf.losses import check_loss
from dce_tf.network.backbones import check_backbone
from dce_tf.network.caching import nearest_divisor
from dce_tf.network.model import EmbeddingModel
from dce_tf.record.run_directory import RunDirectory
from dce_tf.reports.display import Display
from dce_tf.runs.batches import Builder, batch_builder
from dce_tf.runs.evaluating import build_evaluator
from dce_tf.runs.network import build_trainer, has_fixed_features, objective_of
from dce_tf.sampling import SAMPLERS
from dce_tf.training.averaging import AveragedEmbedder
from dce_tf.training.extractor import Extractor, FixedFeatures, RunningFeatures
from dce_tf.training.head_features import HeadFeatures
from dce_tf.training.inheritance import inherit_masks
from dce_tf.training.optimizer import OPTIMIZERS
from dce_tf.training.pipelines import PictureReader
from dce_tf.training.rates import build_rates
from dce_tf.training.recluster import Recluster
from dce_tf.training.schedule import Schedule
from dce_tf.training.trainer import Trainer
from dce_tf.training.workers import Workers


def check(config: Config) -> None:
    """Loads plugins, and checks every name and combination before anything is written.

    Raises:
        UsageError: If the settings cannot work.
    """
    if config.data.num_folds and config.data.fold is None:
        raise UsageError(
            f"num_folds={config.data.num_folds} without fold; expected a fold below "
            "it. dce_tf.runs.folds.cross_validate trains them all."
        )
    load_plugins(config.run.plugin)
    check_installation()
    use_gpu(config.run.backend)
    DATASETS.check(config.data.dataset)
    check_backbone(config.network.backbone)
    check_loss(config.loss.loss, config.loss.miner)
    SAMPLERS.build(config.loss.sampler)
    AUGMENTATIONS.build(config.data.augmentation)
    OPTIMIZERS.check(config.optimizer.optimizer)
    for spec in specs_of(config.run.callback):
        CALLBACKS.check(spec)
    build_rates(
        config.optimizer.lr_schedule,
        config.division.num_epochs,
        config.optimizer.warmup_epochs,
    )
    objective_of(config.loss)
    if config.division.max_steps is None:  # Else the data say how many epochs.
        build_schedule(config.division)


def build_schedule(division: DivisionSettings) -> Schedule:
    """Returns the stages of a run.

    Raises:
        UsageError: If they do not come in order, or the learners never train.
    """
    head, whole = division.head_epochs, division.full_embedding_from
    divides = division.num_clusters != 1 and whole > 0 and not division.stages
    if head and divides and head >= whole:
        raise UsageError(
            f"--head_epochs={head} leaves no epoch in which the learners of "
            f"--num_clusters={division.num_clusters or 'auto'} train, as the whole "
            f"embedding does from epoch {whole} on. Use at most "
            f"--head_epochs={whole - 1}, or --full_embedding_epoch={head + 1}."
        )
    return Schedule(
        num_epochs=division.num_epochs,
        full_embedding_epoch=division.full_embedding_from,
        finetune_epoch=division.finetune_from,
        recluster_every=division.recluster_every,
        num_clusters=division.num_clusters or 1,
        hierarchical=division.hierarchical,
        freeze_backbone_epochs=division.freeze_backbone_epochs,
        head_epochs=head,
    )


def check_replicas(config: Config, num_replicas: int) -> None:
    """Checks that what is to be trained can be cut for all devices.

    Args:
        config: The settings.
        num_replicas: How many devices train, in all processes.

    Raises:
        UsageError: If it cannot, or a device would get part of a class group.
    """
    _check_batches(config.loss, num_replicas)
    _check_micro_batches(config, num_replicas)
    if config.division.cluster_features == "running" and num_replicas > 1:
        raise UsageError(
            "--cluster_features=running gathers the features of one device; "
            f"{num_replicas} train. Use --cluster_features=pass."
        )


def _check_batches(loss: LossSettings, num_replicas: int) -> None:
    unit, per_class = num_replicas, loss.samples_per_class
    if loss.mining == "replica":
        unit *= per_class
    if loss.batch_size % unit:
        near = max(1, round(loss.batch_size / unit)) * unit
        while near % per_class or near < 2 * per_class:
            near += unit
        groups = " whole class groups" if loss.mining == "replica" else ""
        raise UsageError(
            f"--batch_size={loss.batch_size} cannot be cut for {num_replicas} "
            f"devices{groups and ' into' + groups}. The nearest that works is "
            f"--batch_size={near}."
        )


def _check_micro_batches(config: Config, num_replicas: int) -> None:
    own = config.loss.batch_size // num_replicas
    size = config.network.micro_batch_size
    if size and own > size and own % size:
        near = nearest_divisor(own, size)
        where = f" on each of {num_replicas} devices" if num_replicas > 1 else ""
        raise UsageError(
            f"--micro_batch_size={size} must divide the {own} images of a batch"
            f"{where}. The nearest that works is --micro_batch_size={near}."
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
    runner: Extractor | FixedFeatures | HeadFeatures
    running: RunningFeatures | None


def build_session(
    config: Config,
    schedule: Schedule,
    splits: Splits,
    reader: PictureReader,
    run: RunDirectory,
    workers: Workers,
    display: Display,
    teacher: npt.NDArray[np.float32] | None = None,
) -> Session:
    """Builds the parts of a run on data that is read.

    Args:
        config: The settings.
        schedule: The stages.
        splits: The images.
        reader: Where their pictures come from.
        run: Where it writes.
        workers: The processes that train together.
        display: Shows how far it is.
        teacher: The teacher's embedding of each training image, float32 `(num_images,
            teacher_dim)`; None without one.
    """
    strategy = workers.strategy
    running = (
        RunningFeatures() if config.division.cluster_features == "running" else None
    )
    trainer = build_trainer(
        config,
        splits.train.class_counts,
        strategy,
        keep_features=running.keep if running else None,
        teacher_dim=None if teacher is None else teacher.shape[1],
    )
    model = trainer.model
    extractor = build_extractor(model, config.data, reader, strategy)
    runner: Extractor | FixedFeatures | HeadFeatures = extractor
    if has_fixed_features(model, config) or schedule.head_epochs:
        if config.division.features_dir:
            raise UsageError(
                "--features_dir: the features of a backbone that does not train stay "
                "in memory, for every step. Leave the flag out."
            )
        kept = config.data.features_cache
        if kept and workers.count > 1:
            raise UsageError(
                f"--features_cache={kept} is for one process; {workers.count} train. "
                "Leave the flag out."
            )
        runner = fixed = FixedFeatures(extractor, Path(kept) if kept else None)
        if schedule.head_epochs:
            runner = HeadFeatures(extractor, fixed, lambda: trainer.left_head)
    embedder: Embedder = runner
    if trainer.average is not None:
        embedder = AveragedEmbedder(runner, trainer.average)
    evaluator = build_evaluator(
        embedder, splits, config.evaluation, config.run, display
    )

    def extract() -> npt.NDArray[np.float32]:
        with display.task("features for clustering", len(splits.train)) as update:
            embedded = config.division.cluster_on == "embedding"
            run_model = runner.embeddings if embedded else runner.unit_features
            folder = config.division.features_dir
            into: Any = {"into": Path(folder)} if folder else {}
            return run_model(splits.train.paths, lambda done: update(done, ""), **into)

    recluster = build_recluster(
        config,
        schedule,
        splits.train,
        trainer,
        extract=functools.partial(running.or_first, extract) if running else extract,
        build=batch_builder(
            config,
            schedule,
            splits.train,
            reader,
            runner,
            workers.share,
            display,
            teacher,
        ),
        folder=run.clusters,
    )
    return Session(trainer, recluster, evaluator, runner, running)


def build_extractor(
    model: EmbeddingModel,
    data: DataSettings,
    reader: PictureReader | None = None,
    strategy: tf.distribute.Strategy | None = None,
) -> Extractor:
    """Builds what runs a model over images; without a strategy, on one device."""
    return Extractor(
        model,
        data.image_size,
        batch_size=data.evaluation_batch_size,
        strategy=strategy,
        num_workers=data.num_workers,
        reader=reader,
    )


def build_recluster(
    config: Config,
    schedule: Schedule,
    train: Images,
    trainer: Trainer,
    *,
    extract: Callable[[], npt.NDArray[np.float32]],
    build: Builder,
    folder: Path | None = None,
) -> Recluster:
    """Builds the callback that divides, and delivers the batches of each epoch.

    Args:
        config: The settings.
        schedule: The stages.
        train: The training images.
        trainer: Takes the batches.
        extract: Returns what is clustered.
        build: Builds the batches of an epoch.
        folder: Where divisions are stored, if they are.
    """

    def deliver(division: Division, epoch: int) -> None:
        layer = trainer.model.embedding
        if layer.keep_centroids and division.centroids is not None:
            # A hierarchy that grows has fewer; the others are those of nobody.
            missing = layer.num_learners - len(division.centroids)
            layer.centroids.assign(np.pad(division.centroids, ((0, missing), (0, 0))))
        trainer.set_data(*build(division, epoch, trainer.first_step))

    def inherit(parents: npt.NDArray[np.int64]) -> None:
        inherit_masks(trainer.model.embedding, trainer.optimizer, parents)

    return Recluster(
        train.labels,
        schedule,
        extract,
        deliver,
        seed=config.run.random_seed,
        folder=folder,
        inherit=inherit,
        workers=trainer.workers,
        adapt_centroids=config.division.adapt_centroids,
        with_means=getattr(SAMPLERS.build(config.loss.sampler), "needs_means", False),
        by=config.division.divide,
        min_classes=config.division.min_cluster_classes,
        tries=config.division.cluster_tries,
        balance=config.division.cluster_balance,
        backend=config.run.backend,
        num_iterations=config.division.kmeans_iterations,
        num_restarts=config.division.kmeans_restarts,
        num_sampled=config.division.kmeans_points,
    )
