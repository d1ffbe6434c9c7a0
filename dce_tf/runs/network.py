"""The network of a run, and what trains it, put together from its settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from dce_tf.base.errors import UsageError
from dce_tf.config import (
    Config,
    DistillationSettings,
    DivisionSettings,
    LossSettings,
    OptimizerSettings,
)
from dce_tf.images.augmentation import AUGMENTATIONS
from dce_tf.losses import MetricLoss, build_loss
from dce_tf.network.backbones import build_backbone
from dce_tf.network.backbones.adapters import add_adapters
from dce_tf.network.backbones.blocks import checkpoint_blocks, train_last_blocks
from dce_tf.network.distillation import Distillation
from dce_tf.network.layers import DivideConquerEmbedding
from dce_tf.network.model import PRECISIONS, EmbeddingModel, set_precision
from dce_tf.network.objective import Objective
from dce_tf.network.step import Step
from dce_tf.training.averaging import WeightAverage
from dce_tf.training.layer_decay import backbone_groups
from dce_tf.training.optimizer import OPTIMIZERS, LossScaled, ParameterGroup
from dce_tf.training.rates import RateSchedule, build_rates
from dce_tf.training.step_loop import StepLoop
from dce_tf.training.trainer import Trainer


def build_model(config: Config, backbone: keras.Model | None = None) -> EmbeddingModel:
    """Builds the network of a run.

    Args:
        config: The settings.
        backbone: In place of the one that the settings name.

    Raises:
        ValueError: If the backbone cannot be had or does not take the image size.
    """
    division = config.division
    if backbone is None:
        backbone = build_backbone(
            config.network.backbone, image_size=config.data.image_size
        )
    set_precision(backbone, PRECISIONS[config.network.mixed_precision])
    train_last_blocks(backbone, config.network.trainable_blocks)
    if config.network.lora_rank:
        add_adapters(backbone, config.network.lora_rank, config.network.lora_alpha)
    if config.network.gradient_checkpointing:
        checkpoint_blocks(backbone)
    model = EmbeddingModel(
        backbone,
        DivideConquerEmbedding(
            config.network.embedding_dim,
            config.division.num_clusters,
            parts=config.division.parts,
            head_units=division.head_dim if division.parts == "heads" else 0,
            keep_centroids=objective_of(config.loss).trains_all,
        ),
        dropout=config.network.dropout,
        freeze_batch_norm=config.network.freeze_batch_norm,
        pooling=config.network.pooling,
    )
    model.build((None, config.data.image_size, config.data.image_size, 3))
    if config.division.hierarchical and config.division.parts == "fixed_masks":
        model.embedding.set_masks(1)
    return model


def has_fixed_features(model: EmbeddingModel, config: Config) -> bool:
    """Returns whether the features of an image stay the same for the whole run."""
    pool = [] if model.pool is None else model.pool.trainable_variables
    trained = [*model.backbone.trainable_variables, *pool]
    changing = AUGMENTATIONS.build(config.data.augmentation).changes_images
    return not trained and config.network.freeze_batch_norm and not changing


def build_trainer(
    config: Config,
    class_counts: npt.NDArray[np.int64],
    strategy: tf.distribute.Strategy,
    keep_features: Callable[[Any, Any], None] | None = None,
    backbone: keras.Model | None = None,
    teacher_dim: int | None = None,
) -> Trainer:
    """Builds the loop of a run, with its network.

    Args:
        config: The settings.
        class_counts: Images of each class of the training split.
        strategy: Where to run.
        keep_features: See `Trainer`.
        backbone: In place of the one that the settings name.
        teacher_dim: Width of the teacher's embeddings; None without a teacher.
    """
    with strategy.scope():
        model = build_model(config, backbone)
        _check_backbone_trains(model, config)
        loss = build_loss(
            config.loss.loss,
            model.space,
            len(class_counts),
            config.loss.miner,
            class_counts,
        )
        groups = parameter_groups(model, loss, config.optimizer, config.division)
        kept = [variable for group in groups for variable in group.variables]
        distillation = build_distillation(config.distillation, teacher_dim)
        if distillation is not None:
            distillation.build(model.space.units)
            if distillation.variables:
                rate = config.optimizer.embedding_lr
                groups.append(ParameterGroup(distillation.variables, rate))
        variables = [variable for group in groups for variable in group.variables]
        optimizer = OPTIMIZERS.build(
            config.optimizer.optimizer,
            groups=groups,
            clip_norm=config.optimizer.clip_norm,
        )
        if config.network.mixed_precision == "float16":
            optimizer = LossScaled(optimizer)
            optimizer.build(variables)
        average = (
            WeightAverage(kept, config.optimizer.ema) if config.optimizer.ema else None
        )
    model.optimizer = optimizer
    masked = config.division.parts == "masks"
    step = Step(
        loss,
        optimizer,
        seed=config.run.random_seed,
        global_mining=config.loss.mining == "global",
        mask_penalty=config.division.mask_penalty if masked else 0.0,
        isolated=config.division.isolated_learners,
        on_features=has_fixed_features(model, config),
        objective=objective_of(config.loss),
        micro_batch_size=config.network.micro_batch_size,
        distillation=distillation,
    )
    on_device = config.data.augment_on == "device"
    augmentation = AUGMENTATIONS.build(config.data.augmentation) if on_device else None
    loop = StepLoop(
        model,
        step,
        variables,
        strategy=strategy,
        jit=config.run.jit,
        rates=rates_of(config, strategy.num_replicas_in_sync),
        average=average,
        augmentation=augmentation,
        gather_features=keep_features is not None,
    )
    return Trainer(
        loop,
        keep_features=keep_features,
        pause_every=config.run.checkpoint_every_steps,
        pause_at=config.run.profiled_steps,
    )


def _check_backbone_trains(model: EmbeddingModel, config: Config) -> None:
    if model.backbone.trainable_variables or not config.division.head_epochs:
        return
    raise UsageError(
        f"--head_epochs={config.division.head_epochs} comes before training the "
        f"backbone, and --backbone={config.network.backbone} has no weights that "
        "train. Leave --head_epochs out, or use a backbone that was saved with "
        "trainable layers."
    )


def objective_of(loss: LossSettings) -> Objective:
    """Returns the parts of the embedding that the loss is computed on.

    Raises:
        UsageError: If the settings of it do not fit together.
    """
    return Objective(
        train=loss.train,
        whole_weight=loss.whole_weight,
        teach=loss.teach,
        teach_temperature=loss.teach_temperature,
        decorrelation=loss.decorrelation,
        nearness_temperature=loss.nearness_temperature,
    )


def build_distillation(
    settings: DistillationSettings, teacher_dim: int | None
) -> Distillation | None:
    """Returns what is learned from a teacher; None without one.

    Args:
        settings: How much of it.
        teacher_dim: Width of the teacher's embeddings; None without a teacher.
    """
    if teacher_dim is None:
        return None
    return Distillation(
        settings.similarity_weight,
        settings.teacher_temperature,
        settings.teacher_embedding_weight,
        teacher_dim,
    )


def rates_of(config: Config, num_replicas: int) -> RateSchedule | None:
    """Returns the schedule of the learning rates; None where they never change."""
    return build_rates(
        config.optimizer.lr_schedule,
        config.division.num_epochs,
        config.optimizer.warmup_epochs,
        scale=num_replicas if config.optimizer.scale_lr else 1.0,
    )


def parameter_groups(
    model: EmbeddingModel,
    loss: MetricLoss,
    optimizer: OptimizerSettings,
    division: DivisionSettings,
) -> list[ParameterGroup]:
    """Sorts what is trained by how it is trained."""
    layer = model.embedding
    learners = division.num_clusters if division.isolated_learners else 1
    sliced = learners if layer.parts == "slices" else 1
    heads = [] if layer.head_kernel is None else [layer.head_kernel]
    masks = [] if layer.masks is None or not layer.masks.trainable else [layer.masks]
    pool = [] if model.pool is None else model.pool.trainable_variables
    loss_lr = optimizer.rate_of("loss")
    # Proxies lie in the embedding space, a row each; β does not.
    proxies = [v for v in loss.trainable_variables if len(v.shape) == 2]
    others = [v for v in loss.trainable_variables if len(v.shape) != 2]
    # While the head trains on features, nothing before them does, nor any learner.
    begins_later = division.head_epochs > 0
    groups = [
        *backbone_groups(
            model.backbone,
            optimizer.backbone_lr,
            optimizer.backbone_wd,
            layer_decay=optimizer.layer_decay,
            rests=begins_later or division.freeze_backbone_epochs > 0,
        ),
        ParameterGroup(
            [layer.kernel, layer.bias],
            optimizer.embedding_lr,
            optimizer.embedding_wd,
            num_parts=sliced,
        ),
        ParameterGroup(
            heads, optimizer.embedding_lr, optimizer.embedding_wd, rests=begins_later
        ),
        ParameterGroup(pool, optimizer.embedding_lr, rests=begins_later),
        ParameterGroup(
            masks,
            optimizer.rate_of("mask"),
            optimizer.mask_wd,
            num_parts=learners,
            axis=0,
            rests=begins_later,
        ),
        ParameterGroup(proxies, loss_lr, num_parts=sliced),
        ParameterGroup(others, loss_lr),
    ]
    return [group for group in groups if group.variables]
