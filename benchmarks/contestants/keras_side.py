"""The contestants in TensorFlow: ours, and Keras alone."""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

from benchmarks.contestants.lite0 import build_lite0
from benchmarks.contestants.setup import Run, Setup
from dce_tf.losses.margin import MarginLoss
from dce_tf.network.backbones import build_backbone
from dce_tf.network.layers import DivideConquerEmbedding
from dce_tf.network.model import PRECISIONS, EmbeddingModel, set_precision
from dce_tf.network.step import Step
from dce_tf.training.optimizer import GroupedAdam, LossScaled, ParameterGroup
from dce_tf.training.schedule import Schedule
from dce_tf.training.step_loop import StepLoop
from dce_tf.training.trainer import Trainer


def build_network(setup: Setup) -> keras.Model:
    """Builds the backbone, in its precision; so are layers that are built after it."""
    policy = PRECISIONS[setup.precision]
    keras.mixed_precision.set_global_policy(policy)
    if setup.network == "efficientnet_lite0" and not setup.weights:
        backbone = build_lite0(setup.image_size)
    else:
        bare = {"resnet50": "resnet50(weights=None)"}
        spec = setup.weights or bare.get(setup.network, setup.network)
        backbone = build_backbone(spec, image_size=setup.image_size)
    set_precision(backbone, policy)
    return backbone


def _our_model(setup: Setup) -> EmbeddingModel:
    backbone = build_network(setup)
    model = EmbeddingModel(backbone, DivideConquerEmbedding(setup.embedding_dim))
    model.build((None, setup.image_size, setup.image_size, 3))
    return model


def train_ours(setup: Setup) -> Run:
    """Trains as `python main.py` does: `Trainer`, margin loss, Adam with coupled L2."""
    model = _our_model(setup)
    variables = model.trainable_variables
    optimizer = GroupedAdam([ParameterGroup(variables, 1e-5, 1e-4)])
    if setup.precision == "float16":
        optimizer = LossScaled(optimizer)
        optimizer.build(variables)
    trainer = Trainer(
        StepLoop(model, Step(MarginLoss(), optimizer), variables, jit=setup.jit)
    )
    images, labels = (tf.constant(array) for array in setup.draw())
    batch = (images, labels, tf.zeros_like(labels))
    dataset = tf.data.Dataset.from_tensors(batch).repeat()
    schedule = Schedule(num_epochs=1, full_embedding_epoch=1, finetune_epoch=1)

    def run(steps: int) -> None:
        trainer.set_data(dataset, steps)
        trainer.fit(schedule, [])

    return run


def embed_ours(setup: Setup) -> Run:
    """Embeds with our model in one `tf.function`, as `Extractor` does."""
    model = _our_model(setup)
    images = tf.constant(setup.draw()[0])
    embed = tf.function(model, jit_compile=setup.jit)

    def run(steps: int) -> None:
        for _ in range(steps):
            embed(images).numpy()

    return run


def _keras_model(setup: Setup) -> keras.Model:
    backbone = build_network(setup)
    images = keras.Input((setup.image_size, setup.image_size, 3))
    features = backbone(images, training=False)
    pooled = keras.layers.GlobalAveragePooling2D(dtype="float32")(features)
    outputs = keras.layers.Dense(setup.embedding_dim, dtype="float32")(pooled)
    return keras.Model(images, keras.layers.UnitNormalization(dtype="float32")(outputs))


def train_keras(setup: Setup) -> Run:
    """Trains with Keras alone: `compile` and `fit`, the same loss, its own Adam."""
    model = _keras_model(setup)
    model.compile(
        keras.optimizers.Adam(1e-5, epsilon=1e-8),
        loss=MarginLoss(),
        jit_compile=setup.jit,
    )
    batch = tuple(tf.constant(array) for array in setup.draw())
    dataset = tf.data.Dataset.from_tensors(batch).repeat()

    def run(steps: int) -> None:
        model.fit(dataset, epochs=1, steps_per_epoch=steps, verbose=0)

    return run


def embed_keras(setup: Setup) -> Run:
    """Embeds with Keras alone: `predict`."""
    model = _keras_model(setup)
    model.compile(jit_compile=setup.jit)
    dataset = tf.data.Dataset.from_tensors(tf.constant(setup.draw()[0])).repeat()

    def run(steps: int) -> None:
        model.predict(dataset, steps=steps, verbose=0)

    return run


def multiply(side: int) -> Run:
    """Multiplies two square float32 matrices."""
    matrix = tf.random.normal((side, side))
    product = tf.function(lambda: tf.matmul(matrix, matrix))

    def run(steps: int) -> None:
        for _ in range(steps):
            product()[0, 0].numpy()

    return run


CONTESTANTS: dict[str, Callable[[Setup], Run]] = {
    "train: ours": train_ours,
    "train: Keras fit": train_keras,
    "embed: ours": embed_ours,
    "embed: Keras predict": embed_keras,
}
