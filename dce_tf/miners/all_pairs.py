"""Every pair of the batch."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

from dce_tf.distances import label_masks
from dce_tf.miners import MINERS
from dce_tf.miners.pairs import Pairs


@MINERS.register("all")
@dataclasses.dataclass(frozen=True)
class AllPairs:
    """Takes every positive and every negative pair once."""

    def __call__(
        self, distances: Any, labels: Any, embedding_dim: int, seed: Any = None
    ) -> Pairs:
        """Picks pairs; see `Miner`."""
        del embedding_dim, seed
        positive, negative = label_masks(labels)
        return Pairs(
            tf.cast(positive, distances.dtype), tf.cast(negative, distances.dtype)
        )
