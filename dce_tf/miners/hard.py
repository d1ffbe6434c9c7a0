"""Hard mining: the worst pair of each kind."""

from __future__ import annotations

import dataclasses

from dce_tf.miners import MINERS
from dce_tf.miners.pairs import Candidates, Pairs, counted, extreme


@MINERS.register("hard")
@dataclasses.dataclass(frozen=True)
class HardPairs:
    """Takes the farthest positive and the nearest negative of each anchor.

    Of several equally far, all are taken ("batch hard": Hermans et al., "In defense of
    the triplet loss", 2017, section 2).
    """

    def __call__(self, given: Candidates) -> Pairs:
        """Picks pairs; see `Miner`."""
        distances, positive, negative = given.distances, given.positive, given.negative
        farthest = extreme(distances, positive, largest=True)
        nearest = extreme(distances, negative, largest=False)
        return Pairs(
            counted(positive & (distances >= farthest)),
            counted(negative & (distances <= nearest)),
        )
