"""What one embedding learns from another: how alike it finds the images of a batch."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def similarity_cross_entropy(teacher: Any, student: Any, temperature: float) -> Any:
    """Returns how far the student's similarities are from those of its teacher.

    Of each image the similarities with the others of the batch become a distribution,
    by a softmax; the cross-entropy of the student's against the teacher's is averaged
    over the images (Roth et al., S2SD, ICML 2021, equation 3). It is the entropy of
    the teacher's at least, not 0. The widths of the two may differ, and no gradient
    reaches the teacher.

    Args:
        teacher: Embeddings of unit length, float32 `(batch, teacher_dim)`.
        student: Of the same images, float32 `(batch, embedding_dim)`.
        temperature: Divides the similarities, above 0.

    Returns:
        float32 scalar; 0 where a batch has fewer than three images.
    """
    # An image is not compared with itself.
    self_far = 1e9 * tf.eye(tf.shape(student)[0])

    def logits(vectors: Any) -> Any:
        similarity = tf.matmul(vectors, vectors, transpose_b=True)
        return similarity / temperature - self_far

    wanted = tf.nn.softmax(logits(tf.stop_gradient(teacher)))
    found = tf.nn.log_softmax(logits(student))
    rows = tf.reduce_sum(wanted * tf.where(wanted > 0, found, 0.0), axis=1)
    return -tf.reduce_mean(rows)
