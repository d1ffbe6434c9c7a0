"""Every pair of the batch."""

from __future__ import annotations

import dataclasses
from typing import Any

from dce_tf.miners import MINERS
from dce_tf.miners.pairs import Pairs, counted


@MINERS.register("all")
@dataclasses.dataclass(frozen=True)
class AllPairs:
    """Takes every positive and every negative pair once."""

    def __call__(
        self,
        distances: Any,
        positive: Any,
        negative: Any,
        embedding_dim: int,
        seed: Any = None,
    ) -> Pairs:
        """Picks pairs; see `Miner`."""
        del distances, embedding_dim, seed
        return Pairs(counted(positive), counted(negative))
