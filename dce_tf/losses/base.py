"""What every loss is: a Keras loss from labels and embeddings to one number."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from dce_tf.base.errors import UsageError
from dce_tf.batch.distances import unit_length
from dce_tf.batch.labels import exact_labels, require

LENGTH_SLACK = 0.05
"""How far a squared length may be from 1: what bfloat16 rounds away, and more."""


def _plain_part(vectors: Any, learner: Any) -> Any:
    del learner
    return unit_length(vectors)


@dataclasses.dataclass(frozen=True, eq=False)
class Space:
    """The embedding space, for losses that keep vectors of their own in it.

    Attributes:
        units: Width of the whole embedding.
        num_learners: How many learners share the embedding.
        learner_units: Width of the embedding of one learner; default: `units`.
        raw_units: Width of raw vectors; default: `units`.
        part: From raw vectors `(n, raw_units)` and a learner, or None for the whole, to
            what the network makes of them: vectors of unit length in that part of the
            space. `DivideConquerEmbedding.part` is one.
    """

    units: int
    num_learners: int = 1
    learner_units: int | None = None
    raw_units: int | None = None
    part: Callable[[Any, Any], Any] = _plain_part

    @classmethod
    def of(cls, layer: Any) -> Space:
        """Returns the space of a `DivideConquerEmbedding`."""
        return cls(
            layer.units,
            layer.num_learners,
            layer.learner_units,
            layer.raw_units,
            layer.part,
        )


class LossVariables(keras.layers.Layer):
    """Holds what a loss keeps, so that a model can track, train and save it.

    Args:
        terms: Those of the losses that it is made of.
    """

    def __init__(self, terms: Sequence[LossVariables] = ()) -> None:
        super().__init__(dtype="float32", name="loss_variables")
        self.terms = list(terms)
        self.built = True


class MetricLoss(keras.losses.Loss):
    """A loss on the embeddings of one batch, for `compile` and for `Trainer`.

    `model.compile(loss=MarginLoss())` calls it with labels and embeddings. `Trainer`
    and `EmbeddingModel` call `compute`, which also knows the learner and the seed. It
    is always computed in float32.

    A loss that keeps variables, such as proxies, has none until `build` makes them:
    whoever trains it builds it, and trains `trainable_variables`. `EmbeddingModel`,
    `ModelWithLoss` and `build_loss` do so. Where nobody has, calling it is refused, as
    `compile` of an ordinary model would leave them as they were drawn.

    Subclasses define `call`, `_make_variables` if they keep any, and a constructor
    whose arguments are the options: `get_config` gives back what it was called with.

    Call arguments:
        y_true: Labels: integers of shape `(batch,)` or `(batch, 1)`, of any width; or
            floats that are whole and exact (see `labels.exact_labels`).
        y_pred: Embeddings: float tensor of shape `(batch, embedding_dim)`, of unit
            length.
        sample_weight: None; what a batch's pairs weigh is the miner's to say.

    Returns:
        float32 scalar; 0 where there is nothing to compare. In a replica of a strategy
        its share of the mean over all, as of Keras' own losses.

    Raises:
        ValueError: If labels or embeddings are not as above, `sample_weight` is given,
            or the loss keeps variables and is not built. In a graph, wrong values raise
            `tf.errors.InvalidArgumentError`; XLA knows no errors: the loss is NaN.
    """

    keeps_variables: bool = False
    num_classes: int | None = None
    """Labels are below this; None for any integers."""

    _given: tuple[tuple[Any, ...], dict[str, Any]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__module__.startswith("dce_tf."):
            keras.saving.register_keras_serializable(package="dce_tf")(cls)

    def __new__(cls, *args: Any, **kwargs: Any) -> MetricLoss:
        """Notes the options, for `get_config`."""
        loss = super().__new__(cls)
        loss._given = (args, kwargs)
        return loss

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name=name, dtype="float32")
        self.container: LossVariables | None = None
        self.space: Space | None = None

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Computes the loss as `compile` wants it; see the class."""
        if sample_weight is not None:
            raise ValueError(
                f"{type(self).__name__} takes no sample_weight or class_weight, as it "
                "compares pairs. Leave it out; the sampler decides how often a class "
                "comes."
            )
        loss = self.compute(y_true, y_pred)
        return loss / tf.distribute.get_strategy().num_replicas_in_sync

    def compute(
        self, labels: Any, embedding: Any, learner: Any = None, seed: Any = None
    ) -> Any:
        """Computes the loss of a batch, or of a learner's part of it.

        Args:
            labels: As `y_true`.
            embedding: As `y_pred`.
            learner: Integer scalar tensor: whose part `embedding` is; None for the
                whole.
            seed: int32 tensor of shape `(2,)`: decides what is drawn; None draws from
                TensorFlow's global generator.

        Returns:
            float32 scalar, whatever the strategy.

        Raises:
            ValueError: As a call of the loss.
        """
        if self.keeps_variables and self.container is None:
            raise ValueError(_not_built(type(self).__name__))
        embedding, of_length = _unit_vectors(embedding)
        count = tf.shape(embedding)[0]
        labels, valid = exact_labels(labels, count, self.num_classes)
        loss = self.call(labels, embedding, learner=learner, seed=seed)
        valid = of_length if valid is None else valid & of_length
        return tf.where(valid, loss, float("nan"))

    def call(
        self, labels: Any, embedding: Any, learner: Any = None, seed: Any = None
    ) -> Any:
        """Returns the loss, a float32 scalar, of what `compute` has checked.

        Args:
            labels: int64 `(batch,)`.
            embedding: float32 `(batch, dim)`.
            learner: See `compute`.
            seed: See `compute`.
        """
        raise NotImplementedError

    def build(self, space: Space) -> None:
        """Makes the variables that the loss keeps, once; under the strategy's scope.

        Args:
            space: Where the embeddings lie.

        Raises:
            UsageError: If the number of classes is needed and was not given.
            ValueError: If the loss was built for another space.
        """
        for loss in self._inner():
            loss.build(space)
        if self.space is None:
            self.space = space
            if self.keeps_variables:
                kept = [loss.container for loss in self._inner()]
                self.container = LossVariables([each for each in kept if each])
                self._make_variables(space)
        elif self.keeps_variables and _shape(space) != _shape(self.space):
            raise ValueError(
                f"{type(self).__name__} was built for embeddings of "
                f"{self.space.units} numbers and {self.space.num_learners} learners; "
                f"here are {space.units} and {space.num_learners}. Make a new loss."
            )

    def _inner(self) -> Sequence[MetricLoss]:
        """Returns the losses that this one is made of, built and saved with it."""
        return ()

    def _make_variables(self, space: Space) -> None:
        """Adds the variables, with `add_weight`."""

    def add_weight(self, **options: Any) -> Any:
        """Adds a variable; the options are those of `keras.Layer.add_weight`."""
        if self.container is None:
            raise ValueError(_not_built(type(self).__name__))
        return self.container.add_weight(**options)

    @property
    def variables(self) -> list[Any]:
        """Everything it keeps, in an order that stays."""
        return [] if self.container is None else self.container.variables

    @property
    def trainable_variables(self) -> list[Any]:
        """What of it is to be trained."""
        return [] if self.container is None else self.container.trainable_variables

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        args, kwargs = self._given
        bound = inspect.signature(type(self)).bind(*args, **kwargs)
        bound.apply_defaults()
        return {name: _as_json(value) for name, value in bound.arguments.items()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> MetricLoss:
        """Builds the loss that `get_config` described."""
        return cls(**config)


def _as_json(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    return list(value) if isinstance(value, tuple) else value


def _shape(space: Space) -> tuple[int, int, int]:
    return space.units, space.num_learners, space.learner_units or space.units


def _not_built(name: str) -> str:
    return (
        f"{name} keeps variables, and nobody trains them here: compile() of another "
        "model leaves them as they were drawn. Compile a dce_tf.EmbeddingModel, or "
        "dce_tf.ModelWithLoss(model) around yours; in a loop of your own call "
        "loss.build(dce_tf.Space(units)) and train loss.trainable_variables."
    )


def _unit_vectors(embedding: Any) -> tuple[Any, Any]:
    """Returns embeddings as float32, and whether all are of unit length, or all 0."""
    embedding = tf.convert_to_tensor(embedding)
    if not embedding.dtype.is_floating or embedding.shape.rank not in (2, None):
        raise ValueError(
            "Embeddings must be floats of shape (batch, embedding_dim); received "
            f"{embedding.dtype.name} of shape {tuple(embedding.shape)}. The loss is "
            "called with labels first: loss(labels, embeddings). A feature map needs "
            "pooling."
        )
    embedding = tf.cast(embedding, tf.float32)
    squares = tf.reduce_sum(tf.square(tf.stop_gradient(embedding)), axis=1)
    # What is not finite is not of a wrong length: it shows in the loss by itself.
    wrong = (tf.abs(squares - 1) > LENGTH_SLACK) & (squares > 1e-6)
    assertion, valid = require(
        ~tf.reduce_any(wrong & tf.math.is_finite(squares)),
        "Embeddings must be of unit length, as the loss takes their dot products for "
        "cosines. End the model with dce_tf.DivideConquerEmbedding or "
        "keras.layers.UnitNormalization. Received squared lengths, from and to:",
        tf.reduce_min(squares),
        tf.reduce_max(squares),
    )
    with tf.control_dependencies([] if assertion is None else [assertion]):
        return tf.identity(embedding), valid


def checked_num_classes(name: str, num_classes: int) -> int:
    """Returns the number of classes.

    Args:
        name: Of the loss, for the message.
        num_classes: What was given.

    Raises:
        UsageError: If it is no whole number above 0.
    """
    if isinstance(num_classes, bool) or not (num_classes > 0 and num_classes % 1 == 0):
        raise UsageError(
            f"{name}(num_classes={num_classes!r}): expected the number of classes, a "
            "whole number above 0."
        )
    return int(num_classes)


def check_positive(name: str, **options: float) -> None:
    """Checks that options are above 0.

    Args:
        name: Of the loss, for the message.
        **options: What to check.

    Raises:
        UsageError: If one is not.
    """
    for option, value in options.items():
        if not value > 0:
            raise UsageError(f"{name}({option}={value}): expected a number above 0.")


def mean_where(values: Any, weights: Any) -> Any:
    """Returns the weighted mean, 0 where all weights are 0.

    Args:
        values: float32 tensor.
        weights: Tensor of the same shape, none below 0; bool or float.
    """
    weights = tf.cast(weights, values.dtype)
    total = tf.reduce_sum(tf.where(weights > 0, values, 0) * weights)
    return total / tf.maximum(tf.reduce_sum(weights), 1e-12)


def log_sum_exp(values: Any, weights: Any, *, one: bool = False) -> Any:
    """Returns log Σ w exp(v) of each row, and its gradient, without overflow.

    Args:
        values: float32 `(rows, columns)`.
        weights: float32 or bool `(rows, columns)`; entries of weight 0 do not count.
        one: Add 1 to the sum.

    Returns:
        float32 `(rows,)`: −1e9 where the sum is empty.
    """
    weights = tf.cast(weights, values.dtype)
    logs = tf.where(weights > 0, values + tf.math.log(tf.maximum(weights, 1e-12)), -1e9)
    if one:
        logs = tf.concat([logs, tf.zeros_like(logs[:, :1])], axis=1)
    return tf.reduce_logsumexp(logs, axis=1)
