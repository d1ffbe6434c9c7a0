"""The mining of the multi-similarity loss."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from dce_tf.miners import MINERS
from dce_tf.miners.pairs import Candidates, Pairs, counted, extreme


@MINERS.register("multi_similarity")
@dataclasses.dataclass(frozen=True)
class MultiSimilarityPairs:
    """Takes the pairs that are hard relative to those of the other kind.

    With cosine similarity S, a negative is taken if S_an + ε > min S_ap, a positive if
    S_ap − ε < max S_an (Wang et al., CVPR 2019, equations 9 and 10).

    Args:
        epsilon: Slack, as a cosine similarity.
    """

    epsilon: float = 0.1

    def __call__(self, given: Candidates) -> Pairs:
        """Picks pairs; see `Miner`."""
        distances, positive, negative = given.distances, given.positive, given.negative
        similarity = 1 - tf.square(distances) / 2
        least = extreme(similarity, positive, largest=False)
        most = extreme(similarity, negative, largest=True)
        return Pairs(
            counted(positive & (similarity - self.epsilon < most)),
            counted(negative & (similarity + self.epsilon > least)),
        )
