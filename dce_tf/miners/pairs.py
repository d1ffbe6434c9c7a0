"""What a miner returns, and what miners share."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import tensorflow as tf


class Pairs(NamedTuple):
    """The pairs of a batch that a loss is to look at.

    Attributes:
        positive: float32 `(batch, batch)`, `[anchor, other]`: how often each pair
            counts, 0 where it is not of one class.
        negative: Likewise for pairs of two classes.
    """

    positive: Any
    negative: Any


class Miner(Protocol):
    """Picks pairs inside one batch."""

    def __call__(
        self, distances: Any, labels: Any, embedding_dim: int, seed: Any = None
    ) -> Pairs:
        """Picks pairs.

        Args:
            distances: float32 `(batch, batch)`, Euclidean; no gradient flows.
            labels: int32 `(batch,)`.
            embedding_dim: Width of the embeddings compared.
            seed: int32 `(2,)` for miners that draw; None draws from TensorFlow's
                global generator.
        """


def first_per_anchor(scores: Any, valid: Any, counts: Any) -> Any:
    """Marks, for each anchor, its `counts` valid pairs of lowest score.

    Args:
        scores: float32 `(batch, batch)`.
        valid: bool `(batch, batch)`: the pairs that may be chosen at all.
        counts: int32 `(batch,)`: how many each anchor wants; it gets fewer where
            fewer are valid.

    Returns:
        bool `(batch, batch)`.
    """
    order = tf.argsort(tf.where(valid, scores, scores.dtype.max), axis=1)
    rank = tf.argsort(order, axis=1)
    return valid & (rank < counts[:, tf.newaxis])
