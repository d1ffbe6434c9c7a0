"""A small trainer, and batches for it."""

import keras
import numpy as np
import tensorflow as tf

from dce_tf.layers import DivideConquerEmbedding
from dce_tf.losses import MetricLoss, Space, build_loss
from dce_tf.model import EmbeddingModel
from dce_tf.training.averaging import WeightAverage
from dce_tf.training.optimizer import OPTIMIZERS, ParameterGroup
from dce_tf.training.schedule import Schedule
from dce_tf.training.trainer import Trainer

BATCH, SIZE, LEARNERS = 16, 8, 2


def backbone() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(8, 3),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
        ]
    )


def make_trainer(
    strategy: tf.distribute.Strategy | None = None,
    loss: str = "margin(miner=all)",
    parts: str = "slices",
    optimizer: str = "adam",
    ema: float = 0,
    dropout: float = 0,
    **options,
) -> Trainer:
    strategy = strategy or tf.distribute.get_strategy()
    with strategy.scope():
        keras.utils.set_random_seed(0)
        layer = DivideConquerEmbedding(8, LEARNERS, parts=parts)
        model = EmbeddingModel(backbone(), layer, dropout=dropout)
        model.build((None, SIZE, SIZE, 3))
        space = Space(8, 4, LEARNERS, layer.learner_units, layer.part)
        built = build_loss(loss, space)
        groups = _groups(model, built, options.get("isolated", False))
        variables = [variable for group in groups for variable in group.variables]
        model.optimizer = OPTIMIZERS.build(optimizer, groups=groups)
        average = WeightAverage(variables, ema) if ema else None
    return Trainer(
        model,
        built,
        model.optimizer,
        variables,
        strategy=strategy,
        average=average,
        **options,
    )


def _groups(
    model: EmbeddingModel, loss: MetricLoss, isolated: bool
) -> list[ParameterGroup]:
    layer = model.embedding
    learners = LEARNERS if isolated else 1
    sliced = learners if layer.parts == "slices" else 1
    masks = [layer.masks] if layer.parts == "masks" else []
    proxies = [v for v in loss.trainable_variables if len(v.shape) == 2]
    groups = [
        ParameterGroup(model.backbone.trainable_variables, 1e-2, 1e-3),
        ParameterGroup([layer.kernel, layer.bias], 1e-2, 1e-3, num_parts=sliced),
        ParameterGroup(masks, 1e-2, num_parts=learners, axis=0),
        ParameterGroup(proxies, 1e-2, num_parts=sliced),
    ]
    return [group for group in groups if group.variables]


def batches(steps: int, seed: int = 0) -> tf.data.Dataset:
    rng = np.random.default_rng(seed)
    labels = np.tile(np.repeat(np.arange(4), 4), (steps, 1)).astype(np.int32)
    images = (
        rng.uniform(0, 200, (steps, BATCH, SIZE, SIZE, 3))
        + labels[..., None, None, None] * 10
    )
    learners = np.repeat(np.arange(steps) % LEARNERS, BATCH).reshape(steps, BATCH)
    arrays = images.astype(np.float32), labels, learners.astype(np.int32)
    options = tf.data.Options()
    options.autotune.enabled = False  # See pipelines.
    return tf.data.Dataset.from_tensor_slices(arrays).with_options(options)


class Deliver(keras.callbacks.Callback):
    """Hands over new data each epoch, and keeps what the epochs said."""

    def __init__(self, trainer: Trainer, steps: int = 5) -> None:
        super().__init__()
        self.trainer, self.steps, self.logs = trainer, steps, []

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.trainer.set_data(batches(self.steps, seed=epoch), self.steps)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.logs.append(dict(logs or {}))


def fit(
    trainer: Trainer, epochs: int = 4, steps: int = 5, callbacks=(), **schedule
) -> list[dict]:
    deliver = Deliver(trainer, steps)
    stages = Schedule(epochs, epochs - 2, epochs - 1, **schedule)
    trainer.fit(stages, [deliver, *callbacks])
    return deliver.logs


def weights(trainer: Trainer) -> list[np.ndarray]:
    return [np.array(variable) for variable in trainer.loop.variables]


class Watch(keras.callbacks.Callback):
    """Notes where the trainer reported, and may do something there."""

    def __init__(self, trainer: Trainer, act=print) -> None:
        super().__init__()
        self.trainer, self.act, self.steps = trainer, act, []

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.steps.append(self.trainer.step)
        self.act(self.trainer.step)
