"""Distances between the embeddings of a batch."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from keras import ops

from dce_tf.batch.labels import exact_labels


def unit_length(x: Any) -> Any:
    """Returns vectors scaled to length 1, as the network and its losses have them.

    Args:
        x: Float tensor `(..., dim)`.

    Returns:
        float32 tensor of the same shape. Vectors shorter than 1e-6 stay shorter than 1,
        so that their gradient is finite.
    """
    x = ops.cast(x, "float32")
    squared = ops.sum(ops.square(x), axis=-1, keepdims=True)
    return x * ops.rsqrt(ops.maximum(squared, 1e-12))


def to_distances(similarity: Any) -> Any:
    """Returns the Euclidean distances of unit vectors with these dot products.

    The gradient is finite everywhere: between an embedding and its duplicate it is 0.

    Args:
        similarity: float32 tensor of any shape, −1 to 1.

    Returns:
        float32 tensor of the same shape, each 0 to 2.
    """
    return tf.sqrt(tf.maximum(2 - 2 * similarity, 1e-8))


def pairwise_distances(embedding: Any) -> Any:
    """Returns the Euclidean distance of each embedding to each other one.

    Args:
        embedding: float32 tensor of shape `(batch, embedding_dim)`, of unit length.

    Returns:
        float32 tensor of shape `(batch, batch)`, each 0 to 2.
    """
    return to_distances(tf.matmul(embedding, embedding, transpose_b=True))


def label_masks(labels: Any) -> tuple[Any, Any]:
    """Returns which pairs of a batch are positive and which negative.

    Args:
        labels: Integer tensor of shape `(batch,)` or `(batch, 1)`; see
            `labels.exact_labels`.

    Returns:
        Two boolean tensors of shape `(batch, batch)`, `[anchor, other]`. An image and
        itself are neither.
    """
    labels, _ = exact_labels(labels)
    same = same_class(labels, labels)
    return same & ~tf.eye(tf.shape(labels)[0], dtype=tf.bool), ~same


def same_class(labels: Any, others: Any) -> Any:
    """Returns which pairs are of one class, bool `(num_anchors, num_others)`.

    Args:
        labels: int64 tensor of shape `(num_anchors,)`, of `labels.exact_labels`.
        others: int64 tensor of shape `(num_others,)`.
    """
    return labels[:, tf.newaxis] == others
