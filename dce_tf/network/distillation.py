"""Distillation: what a student learns from the embeddings of a fixed teacher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from dce_tf.base.errors import UsageError
from dce_tf.batch.distances import unit_length
from dce_tf.losses.base import LossVariables
from dce_tf.network.teaching import similarity_cross_entropy


@keras.saving.register_keras_serializable(package="dce_tf")
class Distillation(keras.losses.Loss):
    """Teaches a student what a teacher knows of the images of a batch.

    The student learns the similarities that the teacher sees between the images
    (`similarity_cross_entropy`), and, if asked, the teacher's embeddings themselves:
    the mean of 1 − cosine. Where the widths differ, a trained linear map leads from the
    student's embedding to the teacher's. It belongs to the training alone, and no
    export has it. Without it the student's embeddings come to lie in the space of the
    teacher's.

    The teacher is fixed: one embedding for each image, of its centre crop, whatever
    crop the student sees. Beyer et al., "Knowledge distillation: A good teacher is
    patient and consistent" (CVPR 2022), let the teacher see the student's crop, and
    found that better for classification. Here the teacher runs once over the images
    instead of once in every step, where it would cost more than the student, and all
    crops of an image are taught the same place.

    `EmbeddingModel.compile(optimizer, loss, distillation=Distillation())` adds it to
    its loss. It is a Keras loss, too, for `compile` of any model: with the teacher's
    embeddings in place of labels, the student learns from its teacher alone.

    Args:
        weight: Of the similarities.
        temperature: Divides the similarities.
        embedding_weight: Of 1 − cosine between the embeddings.
        teacher_dim: Width of the teacher's embeddings, if it is not the student's; only
            the embedding weight needs it.

    Call arguments:
        y_true: Embeddings of the teacher, float `(batch, teacher_dim)`, of any length
            but 0.
        y_pred: Embeddings of the student, float `(batch, embedding_dim)`.

    Returns:
        float32 scalar. In a replica of a strategy a call returns its share of the mean
        over all, as Keras' own losses do; `compute` does not.

    Raises:
        UsageError: If a weight is below 0, both are 0, the temperature is not above 0,
            or the widths differ and there is no map between them.
        ValueError: If the embeddings are of another shape.
    """

    def __init__(
        self,
        weight: float = 1.0,
        temperature: float = 0.1,
        embedding_weight: float = 0.0,
        teacher_dim: int | None = None,
        name: str = "distillation",
    ) -> None:
        super().__init__(name=name, dtype="float32")
        if not (weight >= 0 and embedding_weight >= 0 and weight + embedding_weight):
            raise UsageError(
                f"Distillation(weight={weight}, embedding_weight={embedding_weight}) "
                "teaches nothing: expected weights of 0 or more, one of them above 0."
            )
        if not temperature > 0:
            raise UsageError(
                f"Distillation(temperature={temperature}): expected a number above 0."
            )
        self.weight = weight
        self.temperature = temperature
        self.embedding_weight = embedding_weight
        self.teacher_dim = teacher_dim
        self.container: LossVariables | None = None
        self._map: Any = None

    @classmethod
    def of(cls, given: Distillation | Mapping[str, Any] | None) -> Distillation | None:
        """Returns what was given: an instance, its options, or None for none."""
        if given is None or isinstance(given, cls):
            return given
        return cls(**dict(given))

    def build(self, units: int) -> None:
        """Makes the map to the teacher's width, once; under the strategy's scope.

        Args:
            units: Width of the student's embedding.
        """
        differ = self.teacher_dim not in (None, units)
        if self.embedding_weight and differ and self.container is None:
            self.container = LossVariables()
            self._map = self.container.add_weight(
                shape=(units, self.teacher_dim),
                initializer="glorot_uniform",
                name="to_teacher",
            )

    @property
    def variables(self) -> list[Any]:
        """The map, where there is one: it is all that is trained."""
        return [] if self.container is None else self.container.variables

    def compute(self, teacher: Any, student: Any) -> Any:
        """Returns the loss of a batch, whatever the strategy; see the class."""
        teacher, student = _vectors(teacher, "teacher"), _vectors(student, "student")
        loss = tf.constant(0.0)
        if self.weight:
            loss += self.weight * similarity_cross_entropy(
                teacher, student, self.temperature
            )
        if self.embedding_weight:
            found = self._in_space_of(teacher, student)
            cosine = tf.reduce_sum(teacher * found, axis=1)
            loss += self.embedding_weight * tf.reduce_mean(1 - cosine)
        return loss

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns what `compute` does, for Keras."""
        return self.compute(y_true, y_pred)

    def _in_space_of(self, teacher: Any, student: Any) -> Any:
        """Returns the student's embeddings as wide as the teacher's, unit length."""
        if self._map is not None:
            student = unit_length(tf.matmul(student, self._map))
        widths = student.shape[1], teacher.shape[1]
        if None not in widths and widths[0] != widths[1]:
            raise UsageError(
                f"embedding_weight={self.embedding_weight} compares embeddings of "
                f"{widths[0]} numbers with those of a teacher of {widths[1]}. Give "
                f"teacher_dim={widths[1]} and train dce_tf.EmbeddingModel or "
                "dce_tf.ModelWithLoss, which learn a map between them; or leave the "
                "embedding weight out, as similarities need no equal widths."
            )
        return student

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            "weight": self.weight,
            "temperature": self.temperature,
            "embedding_weight": self.embedding_weight,
            "teacher_dim": self.teacher_dim,
            "name": self.name,
        }


def _vectors(given: Any, whose: str) -> Any:
    """Returns embeddings at unit length, float32 `(batch, dim)`."""
    given = tf.convert_to_tensor(given)
    if not given.dtype.is_floating or given.shape.rank not in (2, None):
        raise ValueError(
            f"Embeddings of the {whose} must be floats of shape (batch, dim); received "
            f"{given.dtype.name} of shape {tuple(given.shape)}. A distillation is "
            "called with the teacher's embeddings first."
        )
    return unit_length(tf.cast(given, tf.float32))
