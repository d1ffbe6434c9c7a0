"""The network of a run, and what trains it, put together from its settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from dce_tf.augmentation import AUGMENTATIONS
from dce_tf.backbones import build_backbone
from dce_tf.backbones.blocks import checkpoint_blocks, train_last_blocks
from dce_tf.config import Config
from dce_tf.layers import DivideConquerEmbedding
from dce_tf.losses import MetricLoss, Space, build_loss
from dce_tf.model import PRECISIONS, EmbeddingModel, set_precision
from dce_tf.training.averaging import WeightAverage
from dce_tf.training.optimizer import OPTIMIZERS, LossScaled, ParameterGroup
from dce_tf.training.rates import build_rates
from dce_tf.training.trainer import Trainer


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


def has_fixed_features(config: Config, model: EmbeddingModel) -> bool:
    """Returns whether the features of an image stay the same for the whole run."""
    pool = [] if model.pool is None else model.pool.trainable_variables
    trained = [*model.backbone.trainable_variables, *pool]
    changing = AUGMENTATIONS.build(config.augmentation).changes_images
    return not trained and config.freeze_batch_norm and not changing


def build_trainer(
    config: Config,
    num_classes: int,
    strategy: tf.distribute.Strategy,
    keep_features: Callable[[Any, Any], None] | None = None,
) -> Trainer:
    """Builds the loop of a run, with its network.

    Args:
        config: The settings.
        num_classes: Classes of the training split.
        strategy: Where to run.
        keep_features: See `Trainer`.
    """
    with strategy.scope():
        model = build_model(config)
        layer = model.embedding
        space = Space(
            layer.units,
            num_classes,
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
            optimizer = LossScaled(optimizer)
            optimizer.build(variables)
        average = WeightAverage(variables, config.ema) if config.ema else None
    model.optimizer = optimizer
    on_device = config.augment_on == "device"
    return Trainer(
        model,
        loss,
        optimizer,
        variables,
        strategy=strategy,
        global_mining=config.mining == "global",
        jit=config.jit,
        seed=config.random_seed,
        rates=build_rates(
            config.lr_schedule,
            config.num_epochs,
            config.warmup_epochs,
            scale=strategy.num_replicas_in_sync if config.scale_lr else 1.0,
        ),
        mask_penalty=config.mask_penalty if config.parts == "masks" else 0.0,
        isolated=config.isolated_learners,
        average=average,
        augmentation=AUGMENTATIONS.build(config.augmentation) if on_device else None,
        on_features=has_fixed_features(config, model),
        keep_features=keep_features,
        pause_every=config.checkpoint_every_steps,
        pause_at=config.profiled_steps,
    )


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
            model.backbone.trainable_variables,
            config.backbone_lr,
            config.backbone_wd,
            rests=config.freeze_backbone_epochs > 0,
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
