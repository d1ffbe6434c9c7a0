"""The parts of a run, put together from its settings."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from dce_tf.augmentation import AUGMENTATIONS
from dce_tf.backbones import build_backbone, check_backbone
from dce_tf.backbones.blocks import checkpoint_blocks, train_last_blocks
from dce_tf.clustering import Division
from dce_tf.config import Config
from dce_tf.datasets import DATASETS, Splits
from dce_tf.errors import UsageError
from dce_tf.faiss_backend import check_installation, use_gpu
from dce_tf.layers import DivideConquerEmbedding
from dce_tf.losses import MetricLoss, Space, build_loss, check_loss
from dce_tf.model import PRECISIONS, EmbeddingModel, set_precision
from dce_tf.pipelines import ClusterPipelines
from dce_tf.run_directory import RunDirectory
from dce_tf.sampling import SAMPLERS
from dce_tf.training.averaging import AveragedEmbedder, WeightAverage
from dce_tf.training.display import Display
from dce_tf.training.evaluation import Embedder, Evaluator
from dce_tf.training.extractor import Extractor
from dce_tf.training.inheritance import inherit_masks
from dce_tf.training.optimizer import OPTIMIZERS, ParameterGroup
from dce_tf.training.rates import build_rates
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


def build_model(config: Config) -> EmbeddingModel:
    """Builds the network of a run.

    Raises:
        ValueError: If the backbone cannot be had or does not take the image size.
    """
    backbone = build_backbone(config.backbone, image_size=config.image_size)
    set_precision(backbone, PRECISIONS[config.mixed_precision])
    train_last_blocks(backbone, config.trainable_blocks)
    if config.gradient_checkpointing:
        checkpoint_blocks(backbone)
    model = EmbeddingModel(
        backbone,
        DivideConquerEmbedding(
            config.embedding_dim, config.num_clusters, parts=config.parts
        ),
        dropout=config.dropout,
        freeze_batch_norm=config.freeze_batch_norm,
        pooling=config.pooling,
    )
    model.build((None, config.image_size, config.image_size, 3))
    if config.hierarchical and config.parts == "fixed_masks":
        model.embedding.set_masks(1)
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
        layer = model.embedding
        space = Space(
            layer.units,
            len(splits.train.class_names),
            layer.num_learners,
            layer.learner_units,
            layer.part,
        )
        loss = build_loss(config.loss, space, config.miner)
        groups = parameter_groups(config, model, loss)
        variables = [variable for group in groups for variable in group.variables]
        optimizer = OPTIMIZERS.build(
            config.optimizer, groups=groups, clip_norm=config.clip_norm
        )
        if config.mixed_precision == "float16":
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
            optimizer.build(variables)
        average = WeightAverage(variables, config.ema) if config.ema else None
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
        rates=build_rates(config.lr_schedule, config.num_epochs, config.warmup_epochs),
        mask_penalty=config.mask_penalty if config.parts == "masks" else 0.0,
        isolated=config.isolated_learners,
        average=average,
        augmentation=(
            AUGMENTATIONS.build(config.augmentation)
            if config.augment_on == "device"
            else None
        ),
    )
    extractor = build_extractor(model, config, strategy)
    embedder = extractor if average is None else AveragedEmbedder(extractor, average)
    evaluator = build_evaluator(embedder, config, splits, display)
    recluster = _recluster(config, schedule, splits, run, trainer, extractor, display)
    return Session(trainer, recluster, evaluator)


def parameter_groups(
    config: Config, model: EmbeddingModel, loss: MetricLoss
) -> list[ParameterGroup]:
    """Sorts what is trained by how it is trained."""
    layer = model.embedding
    learners = config.num_clusters if config.isolated_learners else 1
    sliced = learners if layer.parts == "slices" else 1
    masks = [] if layer.masks is None or not layer.masks.trainable else [layer.masks]
    pool = [] if model.pool is None else model.pool.trainable_variables
    loss_lr = config.rate_of("loss")
    # Proxies lie in the embedding space, a row each; β does not.
    proxies = [v for v in loss.trainable_variables if len(v.shape) == 2]
    others = [v for v in loss.trainable_variables if len(v.shape) != 2]
    groups = [
        ParameterGroup(
            model.backbone.trainable_variables, config.backbone_lr, config.backbone_wd
        ),
        ParameterGroup(
            [layer.kernel, layer.bias],
            config.embedding_lr,
            config.embedding_wd,
            num_parts=sliced,
        ),
        ParameterGroup(pool, config.embedding_lr),
        ParameterGroup(
            masks, config.rate_of("mask"), config.mask_wd, num_parts=learners, axis=0
        ),
        ParameterGroup(proxies, loss_lr, num_parts=sliced),
        ParameterGroup(others, loss_lr),
    ]
    return [group for group in groups if group.variables]


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
        augmentation=AUGMENTATIONS.build(config.augmentation),
        augment_on=config.augment_on,
        sampler=SAMPLERS.build(config.sampler),
        cluster_batches=config.cluster_batches,
        num_workers=config.num_workers,
    )

    def extract() -> np.ndarray:
        with display.task("features for clustering", len(splits.train)) as update:
            embedded = config.cluster_on == "embedding"
            run_model = extractor.embeddings if embedded else extractor.features
            return run_model(splits.train.paths, lambda done: update(done, ""))

    def deliver(division: Division, epoch: int) -> None:
        trainer.set_data(*pipelines.build(division, epoch), division.num_clusters)

    def inherit(parents: npt.NDArray[np.int64]) -> None:
        inherit_masks(trainer.model.embedding, trainer.optimizer, parents)

    return Recluster(
        splits.train.labels,
        schedule,
        extract,
        deliver,
        seed=config.random_seed,
        folder=run.clusters,
        inherit=inherit,
        adapt_centroids=config.adapt_centroids,
        min_classes=config.min_cluster_classes,
        tries=config.cluster_tries,
        balance=config.cluster_balance,
        backend=config.backend,
        num_iterations=config.kmeans_iterations,
        num_restarts=config.kmeans_restarts,
    )
