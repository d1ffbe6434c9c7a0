"""What every loss is: a layer from embeddings and labels to one number."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


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
        float32 scalar.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})

    def __call__(
        self, embedding: Any, labels: Any, learner: Any = None, seed: Any = None
    ) -> Any:
        """Computes the loss; see the class."""
        embedding = tf.convert_to_tensor(embedding)
        labels = tf.cast(tf.convert_to_tensor(labels), tf.int32)
        return super().__call__(embedding, labels, learner=learner, seed=seed)
