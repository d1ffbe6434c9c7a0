"""What every loss is: a layer from embeddings and labels to one number."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from dce_tf.errors import UsageError


def _plain_part(vectors: Any, learner: Any) -> Any:
    del learner
    return tf.math.l2_normalize(vectors, axis=-1)


@dataclasses.dataclass(frozen=True, eq=False)
class Space:
    """The embedding space, for losses that keep vectors of their own in it.

    Attributes:
        units: Width of the whole embedding.
        num_classes: Classes of the training images; their labels are below it.
        num_learners: How many learners share the embedding.
        learner_units: Width of the embedding of one learner; default: `units`.
        part: From raw vectors `(n, units)` and a learner, or None for the whole, to
            what the network makes of them: vectors of unit length in that part of the
            space. `DivideConquerEmbedding.part` is one.
    """

    units: int
    num_classes: int
    num_learners: int = 1
    learner_units: int | None = None
    part: Callable[[Any, Any], Any] = _plain_part


class MetricLoss(keras.layers.Layer):
    """A loss on the embeddings of one batch. Always computed in float32.

    Works with `model.compile(loss=lambda labels, embedding: loss(embedding, labels))`.

    Call arguments:
        embedding: Float tensor of shape `(batch, embedding_dim)`, of unit length.
        labels: int32 tensor of shape `(batch,)`.
        learner: Integer scalar tensor: whose part `embedding` is; None for the whole.
        seed: int32 tensor of shape `(2,)`: decides what is drawn; None draws from
            TensorFlow's global generator.

    Returns:
        float32 scalar; 0 where there is nothing to compare.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})

    def __call__(
        self, embedding: Any, labels: Any, learner: Any = None, seed: Any = None
    ) -> Any:
        """Computes the loss; see the class."""
        embedding = tf.cast(tf.convert_to_tensor(embedding), tf.float32)
        labels = tf.cast(tf.convert_to_tensor(labels), tf.int32)
        return super().__call__(embedding, labels, learner=learner, seed=seed)


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
