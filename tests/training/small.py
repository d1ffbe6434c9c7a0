"""A small trainer, and batches for it."""

import keras
import numpy as np
import tensorflow as tf

from dce_tf.losses import MetricLoss, build_loss
from dce_tf.network.layers import DivideConquerEmbedding
from dce_tf.network.model import EmbeddingModel
from dce_tf.network.step import Step
from dce_tf.record import EpochRecord, record_of
from dce_tf.training.averaging import WeightAverage
from dce_tf.training.callback_calls import CallbackCalls
from dce_tf.training.optimizer import OPTIMIZERS, ParameterGroup
from dce_tf.training.schedule import Schedule
from dce_tf.training.step_loop import StepLoop
from dce_tf.training.trainer import Trainer

BATCH, SIZE, LEARNERS = 16, 8, 2
# Options of `make_trainer` by whose they are; the others are those of `StepLoop`.
STEP = (
    "seed",
    "global_mining",
    "mask_penalty",
    "isolated",
    "on_features",
    "objective",
    "micro_batch_size",
    "distillation",
)
TRAINER = ("keep_features", "pause_every", "pause_at")


def backbone(size: int = SIZE) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((size, size, 3)),
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
    size: int = SIZE,
    **options,
) -> Trainer:
    strategy = strategy or tf.distribute.get_strategy()
    with strategy.scope():
        keras.utils.set_random_seed(0)
        layer = DivideConquerEmbedding(8, LEARNERS, parts=parts)
        model = EmbeddingModel(backbone(size), layer, dropout=dropout)
        model.build((None, size, size, 3))
        built = build_loss(loss, model.space, num_classes=4)
        groups = _groups(model, built, options.get("isolated", False))
        distillation = options.get("distillation")
        if distillation is not None:
            distillation.build(model.space.units)
            groups += [ParameterGroup(v, 1e-2) for v in [distillation.variables] if v]
        variables = [variable for group in groups for variable in group.variables]
        model.optimizer = OPTIMIZERS.build(optimizer, groups=groups)
        average = WeightAverage(variables, ema) if ema else None
    own = {name: options.pop(name) for name in STEP if name in options}
    told = {name: options.pop(name) for name in TRAINER if name in options}
    loop = StepLoop(
        model,
        Step(built, model.optimizer, **own),
        variables,
        strategy=strategy,
        average=average,
        gather_features="keep_features" in told,
        **options,
    )
    return Trainer(loop, **told)


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


def batches(
    steps: int, seed: int = 0, size: int = SIZE, teacher_dim: int | None = None
) -> tf.data.Dataset:
    rng = np.random.default_rng(seed)
    labels = np.tile(np.repeat(np.arange(4), 4), (steps, 1)).astype(np.int32)
    images = (
        rng.uniform(0, 200, (steps, BATCH, size, size, 3))
        + labels[..., None, None, None] * 10
    )
    learners = np.repeat(np.arange(steps) % LEARNERS, BATCH).reshape(steps, BATCH)
    learners = third = learners.astype(np.int32)
    if teacher_dim:
        teacher = rng.normal(size=(steps, BATCH, teacher_dim)).astype(np.float32)
        third = {"learner": learners, "teacher": teacher}
    arrays = images.astype(np.float32), labels, third
    options = tf.data.Options()
    options.autotune.enabled = False  # See pipelines.
    return tf.data.Dataset.from_tensor_slices(arrays).with_options(options)


class Deliver(keras.callbacks.Callback):
    """Hands over new data each epoch, and keeps the lines of the epochs."""

    def __init__(
        self, trainer: Trainer, steps: int = 5, teacher_dim: int | None = None
    ) -> None:
        super().__init__()
        self.trainer, self.steps, self.logs = trainer, steps, []
        self.teacher_dim = teacher_dim

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        data = batches(self.steps, seed=epoch, teacher_dim=self.teacher_dim)
        self.trainer.set_data(data, self.steps)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.logs.append(record_of(self).as_line())


def fit(
    trainer: Trainer,
    epochs: int = 4,
    steps: int = 5,
    callbacks=(),
    teacher_dim: int | None = None,
    **schedule,
) -> list[dict]:
    deliver = Deliver(trainer, steps, teacher_dim)
    stages = Schedule(epochs, epochs - 2, epochs - 1, **schedule)
    trainer.fit(stages, [deliver, *callbacks])
    return deliver.logs


def train_epoch(trainer: Trainer) -> dict:
    """Trains the first epoch on the data that were set, and returns its numbers."""
    record = EpochRecord(0, "divide")
    calls = CallbackCalls([], trainer.model, 4)
    trainer._train_epoch(Schedule(4, 2, 3), calls, record)
    return record.logs


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
