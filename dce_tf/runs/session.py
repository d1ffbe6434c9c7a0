"""The parts of a run, put together from its settings."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from dce_tf.backbones import build_backbone, check_backbone
from dce_tf.clustering import Division
from dce_tf.config import Config
from dce_tf.datasets import DATASETS, Splits
from dce_tf.errors import UsageError
from dce_tf.faiss_backend import check_installation, use_gpu
from dce_tf.layers import DivideConquerEmbedding
from dce_tf.losses import LOSSES
from dce_tf.miners import MINERS
from dce_tf.model import PRECISIONS, EmbeddingModel, set_precision
from dce_tf.pipelines import ClusterPipelines
from dce_tf.run_directory import RunDirectory
from dce_tf.training.display import Display
from dce_tf.training.evaluation import Embedder, Evaluator
from dce_tf.training.extractor import Extractor
from dce_tf.training.optimizer import GroupedAdam, ParameterGroup
from dce_tf.training.recluster import Recluster
from dce_tf.training.schedule import Schedule
from dce_tf.training.trainer import Trainer


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
    check_installation()
    use_gpu(config.backend)
    DATASETS.check(config.dataset)
    check_backbone(config.backbone)
    LOSSES.build(config.loss, miner=MINERS.build(config.miner))
    return Schedule(
        num_epochs=config.num_epochs,
        full_embedding_epoch=config.full_embedding_from,
        finetune_epoch=config.finetune_from,
        recluster_every=config.recluster_every,
    )


def build_model(config: Config) -> EmbeddingModel:
    """Builds the network of a run.

    Raises:
        ValueError: If the backbone cannot be had or does not take the image size.
    """
    backbone = build_backbone(config.backbone)
    policy = PRECISIONS[config.mixed_precision]
    set_precision(backbone, policy)
    model = EmbeddingModel(
        backbone,
        DivideConquerEmbedding(config.embedding_dim, config.num_clusters),
        dropout=config.dropout,
        freeze_batch_norm=config.freeze_batch_norm,
    )
    model.build((None, config.image_size, config.image_size, 3))
    return model


@dataclasses.dataclass(frozen=True)
class Session:
    """A run in memory.

    Attributes:
        trainer: The loop.
        recluster: Divides.
        evaluator: Scores.
    """

    trainer: Trainer
    recluster: Recluster
    evaluator: Evaluator


def build_session(
    config: Config,
    schedule: Schedule,
    splits: Splits,
    run: RunDirectory,
    strategy: tf.distribute.Strategy,
    display: Display,
) -> Session:
    """Builds the parts of a run on data that is read."""
    with strategy.scope():
        model = build_model(config)
        loss = LOSSES.build(config.loss, miner=MINERS.build(config.miner))
        groups = [
            ParameterGroup(
                model.backbone.trainable_variables,
                config.backbone_lr,
                config.backbone_wd,
            ),
            ParameterGroup(
                [*model.embedding.trainable_variables, *loss.trainable_variables],
                config.embedding_lr,
                config.embedding_wd,
            ),
        ]
        variables = [variable for group in groups for variable in group.variables]
        optimizer: keras.optimizers.Optimizer = GroupedAdam(groups)
        if config.mixed_precision == "float16":
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
            optimizer.build(variables)
    model.optimizer = optimizer
    trainer = Trainer(
        model,
        loss,
        optimizer,
        variables,
        strategy=strategy,
        global_mining=config.mining == "global",
        jit=config.jit,
        seed=config.random_seed,
    )
    extractor = build_extractor(model, config, strategy)
    evaluator = build_evaluator(extractor, config, splits, display)
    recluster = _recluster(config, schedule, splits, run, trainer, extractor, display)
    return Session(trainer, recluster, evaluator)


def build_extractor(
    model: EmbeddingModel,
    config: Config,
    strategy: tf.distribute.Strategy | None = None,
) -> Extractor:
    """Builds what runs a model over images; without a strategy, on one device."""
    return Extractor(
        model,
        config.image_size,
        batch_size=config.evaluation_batch_size,
        strategy=strategy,
        num_workers=config.num_workers,
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


def _recluster(
    config: Config,
    schedule: Schedule,
    splits: Splits,
    run: RunDirectory,
    trainer: Trainer,
    extractor: Extractor,
    display: Display,
) -> Recluster:
    pipelines = ClusterPipelines(
        splits.train,
        image_size=config.image_size,
        batch_size=config.batch_size,
        samples_per_class=config.samples_per_class,
        seed=config.random_seed,
        augment=config.augmentation != "none",
        cluster_batches=config.cluster_batches,
        num_workers=config.num_workers,
    )

    def extract() -> np.ndarray:
        with display.task("features for clustering", len(splits.train)) as update:
            return extractor.features(splits.train.paths, lambda done: update(done, ""))

    def deliver(division: Division, epoch: int) -> None:
        trainer.set_data(*pipelines.build(division, epoch))

    return Recluster(
        splits.train.labels,
        schedule,
        config.num_clusters,
        extract,
        deliver,
        seed=config.random_seed,
        folder=run.clusters,
        backend=config.backend,
        num_iterations=config.kmeans_iterations,
        num_restarts=config.kmeans_restarts,
    )
