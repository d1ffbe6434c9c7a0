"""One step of training, as `Trainer` and `EmbeddingModel.fit` both take it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import keras
import tensorflow as tf

from dce_tf.losses import MetricLoss
from dce_tf.network.caching import (
    add_feature_gradients,
    features_in_parts,
    num_parts,
)
from dce_tf.network.distillation import Distillation
from dce_tf.network.objective import Objective


class Stepped(Protocol):
    """The model that a step trains."""

    def features(self, images: Any, training: bool = False) -> Any:
        """Returns what the embedding is made of, `(batch, feature_dim)`."""

    def project(self, features: Any, training: bool = False) -> Any:
        """Returns the raw vectors of features, `(batch, raw_units)`."""

    def part(self, raw: Any, learner: Any) -> Any:
        """Returns the embeddings of raw vectors, or a learner's part of them."""


class Place(NamedTuple):
    """Where in the training a step is.

    Attributes:
        learner: Whose part trains, integer scalar tensor; None for the whole embedding.
        number: Steps done before, int32 scalar tensor.
        num_active: How many learners take part, integer scalar tensor or number.
    """

    learner: Any
    number: Any
    num_active: Any


@dataclasses.dataclass(frozen=True, eq=False)
class Step:
    """One step on one replica: the loss of its batch, its gradients, the update.

    Attributes:
        loss: Compares the embeddings of a batch.
        optimizer: Built for the variables to train.
        seed: Decides what miners draw.
        global_mining: Compare the images of all replicas with each other, so that the
            result does not depend on their number; otherwise each its own part.
        mask_penalty: Weight of `DivideConquerEmbedding.mask_penalty` while learners
            train by themselves.
        isolated: Let that penalty reach only the mask of the learner that trains.
        on_features: The inputs are features instead of images.
        objective: What the loss is computed on; by default the learner.
        micro_batch_size: Images whose features a device computes at a time; 0 for all
            of a batch. The model must compute the same features twice.
        distillation: What the whole embedding learns from a teacher beside that; built,
            and its variables among those to train. None without a teacher.
    """

    loss: MetricLoss
    optimizer: keras.optimizers.Optimizer
    seed: int = 0
    global_mining: bool = True
    mask_penalty: float = 0.0
    isolated: bool = False
    on_features: bool = False
    objective: Objective = dataclasses.field(default_factory=Objective)
    micro_batch_size: int = 0
    distillation: Distillation | None = None

    def __call__(
        self,
        model: Stepped,
        inputs: Any,
        labels: Any,
        place: Place,
        variables: Sequence[Any],
        teacher: Any = None,
    ) -> tuple[Any, Any]:
        """Takes the step.

        Args:
            model: What is trained.
            inputs: Images, or features.
            labels: Class of each image, integers `(batch,)` or `(batch, 1)`.
            place: Where in the training this is.
            variables: What to train of the model, the loss and the distillation.
            teacher: The teacher's embeddings of the images, float `(batch,
                teacher_dim)`; None without a distillation.

        Returns:
            The loss before the step, float32 scalar, and the features of the images,
            float32 `(batch, feature_dim)`.

        Raises:
            ValueError: If there is a distillation and no teacher, or the reverse.
        """
        self._check_taught(teacher)
        count = 1 if self.on_features else num_parts(inputs, self.micro_batch_size)
        features = inputs
        if count > 1:
            features = features_in_parts(model, inputs, count)
        # What is not watched is not part of the backward pass, nor what lies before it.
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([variable.value for variable in variables])
            if count > 1:
                tape.watch(features)
            elif not self.on_features:
                features = model.features(inputs, training=True)
            raw = model.project(features, training=True)
            loss = self._loss(model, features, raw, labels, place, teacher)
            for variable in variables:
                if variable.regularizer is not None:
                    loss += variable.regularizer(variable)
            # Gradients are summed over the replicas.
            replicas = tf.distribute.get_strategy().num_replicas_in_sync
            share = self.optimizer.scale_loss(loss / replicas)
        if count > 1:
            *gradients, wanted = tape.gradient(share, [*variables, features])
            gradients = add_feature_gradients(
                gradients, variables, model, inputs, wanted, count
            )
        else:
            gradients = tape.gradient(share, variables)
        # Masks have none while the whole embedding trains.
        there = [
            (tf.convert_to_tensor(gradient), variable)
            for gradient, variable in zip(gradients, variables, strict=True)
            if gradient is not None
        ]
        self.optimizer.apply(*zip(*there, strict=True))
        return loss, tf.cast(features, tf.float32)

    def _check_taught(self, teacher: Any) -> None:
        if self.distillation is not None and teacher is None:
            raise ValueError(
                "The data has no embeddings of a teacher, which distillation=… needs. "
                "Give them as (images, labels, {'teacher': embeddings}), or leave "
                "distillation out."
            )
        if self.distillation is None and teacher is not None:
            raise ValueError(
                "The data has a teacher's embeddings, but compile was given no "
                "distillation. Pass distillation=dce_tf.Distillation(), or leave "
                "the embeddings out of the data."
            )

    def _loss(
        self,
        model: Any,
        features: Any,
        raw: Any,
        labels: Any,
        place: Place,
        teacher: Any,
    ) -> Any:
        nearness = None
        if self.objective.trains_all and place.learner is not None:
            nearness = model.embedding.nearness(
                tf.stop_gradient(features), self.objective.nearness_temperature
            )
        if self.global_mining and tf.distribute.get_strategy().num_replicas_in_sync > 1:
            replica = tf.distribute.get_replica_context()
            raw = replica.all_gather(raw, axis=0)
            if nearness is not None:
                nearness = replica.all_gather(nearness, axis=0)
            # What comes from a pipeline may lie on no device yet.
            labels = replica.all_gather(tf.identity(labels), axis=0)
            if teacher is not None:
                teacher = replica.all_gather(tf.identity(teacher), axis=0)
        seed = tf.stack([self.seed, place.number])
        loss = self.objective(
            self.loss,
            model,
            raw,
            labels,
            learner=place.learner,
            nearness=nearness,
            seed=seed,
        )
        if self.mask_penalty and place.learner is not None:
            own = place.learner if self.isolated else None
            penalty = model.embedding.mask_penalty(place.num_active, own)
            loss += self.mask_penalty * penalty
        if self.distillation is not None:
            loss += self.distillation.compute(teacher, model.part(raw, None))
        return loss


def learner_and_teacher(part: Any) -> tuple[Any, Any]:
    """Reads the third part of a batch.

    Args:
        part: The learner, integer `(batch,)`; or a dictionary of it, `"learner"`, and
            of the teacher's embeddings, `"teacher"`, float `(batch, teacher_dim)`.

    Returns:
        The learner and the embeddings, None each where it is not there.

    Raises:
        ValueError: If the dictionary has anything else.
    """
    if not isinstance(part, Mapping):
        return part, None
    if unknown := part.keys() - {"learner", "teacher"}:
        raise ValueError(
            "The third part of the data may have 'learner' and 'teacher'; received "
            f"{', '.join(map(repr, sorted(unknown)))}."
        )
    return part.get("learner"), part.get("teacher")
