"""What a miner returns, and what miners share."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import tensorflow as tf


class Pairs(NamedTuple):
    """The pairs of a batch that a loss is to look at.

    Attributes:
        positive: float32 `(num_anchors, num_others)`: how often each pair counts, 0
            where it is not of one class.
        negative: The same for pairs of two classes.
    """

    positive: Any
    negative: Any


class Candidates(NamedTuple):
    """The pairs of a batch that a miner picks from.

    Attributes:
        distances: float32 `(num_anchors, num_others)`, Euclidean; no gradient flows.
            Within a batch the others are the anchors.
        positive: bool `(num_anchors, num_others)`: the pairs of one class, without
            those of an image and itself.
        negative: The same for pairs of two classes.
        embedding_dim: Width of the embeddings compared.
        seed: int32 `(2,)` for miners that draw; None draws from TensorFlow's global
            generator.
    """

    distances: Any
    positive: Any
    negative: Any
    embedding_dim: int
    seed: Any = None


class Miner(Protocol):
    """Picks pairs among the anchors and others of one batch."""

    def __call__(self, given: Candidates) -> Pairs:
        """Picks pairs."""


def first_per_anchor(scores: Any, valid: Any, counts: Any) -> Any:
    """Marks, for each anchor, its `counts` valid pairs of lowest score.

    Args:
        scores: float32 `(num_anchors, num_others)`.
        valid: bool `(num_anchors, num_others)`: the pairs that may be chosen at all.
        counts: int32 `(num_anchors,)`: how many each anchor wants; it gets fewer where
            fewer are valid.

    Returns:
        bool `(num_anchors, num_others)`.
    """
    order = tf.argsort(tf.where(valid, scores, scores.dtype.max), axis=1)
    rank = tf.argsort(order, axis=1)
    return valid & (rank < counts[:, tf.newaxis])


def extreme(values: Any, valid: Any, largest: bool) -> Any:
    """Returns the largest or smallest valid value of each anchor.

    Args:
        values: float32 `(num_anchors, num_others)`.
        valid: bool `(num_anchors, num_others)`.
        largest: Which of the two.

    Returns:
        float32 `(num_anchors, 1)`: ±1e9 where none is valid, so that no value is
        beyond it.
    """
    none = -1e9 if largest else 1e9
    reduce = tf.reduce_max if largest else tf.reduce_min
    return reduce(tf.where(valid, values, none), axis=1, keepdims=True)


def counted(chosen: Any) -> Any:
    """Returns 1 for each pair that was chosen: bool to float32."""
    return tf.cast(chosen, tf.float32)
