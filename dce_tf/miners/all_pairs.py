"""Every pair of the batch."""

from __future__ import annotations

import dataclasses

from dce_tf.miners import MINERS
from dce_tf.miners.pairs import Candidates, Pairs, counted


@MINERS.register("all")
@dataclasses.dataclass(frozen=True)
class AllPairs:
    """Takes every positive and every negative pair once."""

    def __call__(self, given: Candidates) -> Pairs:
        """Picks pairs; see `Miner`."""
        positive, negative = given.positive, given.negative
        return Pairs(counted(positive), counted(negative))
