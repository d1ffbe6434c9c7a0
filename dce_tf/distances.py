"""Distances between the embeddings of a batch."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


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
        labels: int32 tensor of shape `(batch,)`.

    Returns:
        Two boolean tensors of shape `(batch, batch)`, `[anchor, other]`. An image and
        itself are neither.
    """
    same = labels[:, tf.newaxis] == labels
    return same & ~tf.eye(tf.shape(labels)[0], dtype=tf.bool), ~same
