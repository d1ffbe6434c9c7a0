"""Heat-maps of matches with a model at hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from dce_tf.network.model import EmbeddingModel
from dce_tf.network.shares import place_shares
from dce_tf.retrieval.heat import MatchHeat


def explain_match(
    model: EmbeddingModel, images: Any, others: Any, learner: Any = None
) -> MatchHeat:
    """Finds which places of two images speak for their similarity.

    Args:
        model: With pooling `"avg"`, `"max"` or `"gem"`, over a map or tokens.
        images: Float `(num_matches, height, width, 3)`, 0 to 255, RGB, as the model
            takes them.
        others: What each is compared with, of the same shape.
        learner: Integer scalar tensor: compare by this learner's part alone.

    Returns:
        A heat-map of each image and each other, and the scores that they sum to. What
        belongs to no place is in all alike; see `network.shares.place_shares`.

    Raises:
        UsageError: If the embeddings of the model cannot be split by place.
    """
    return MatchHeat.of(
        *(np.asarray(place_shares(model, each, learner)) for each in (images, others))
    )
