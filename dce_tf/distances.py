"""Distances between the embeddings of a batch."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def pairwise_distances(embedding: Any) -> Any:
    """Returns the Euclidean distance of each embedding to each other one.

    The gradient is finite everywhere: between an embedding and its duplicate it is 0.

    Args:
        embedding: float32 tensor of shape `(batch, embedding_dim)`, of unit length.

    Returns:
        float32 tensor of shape `(batch, batch)`, each 0 to 2.
    """
    squared = 2 - 2 * tf.matmul(embedding, embedding, transpose_b=True)
    return tf.sqrt(tf.maximum(squared, 1e-8))


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
