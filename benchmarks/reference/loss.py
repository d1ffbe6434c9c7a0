"""Margin loss on the triplets of the miner (Wu et al., ICCV 2017)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.reference.miner import mine_nearest


class MarginLoss(nn.Module):
    """Pulls positives nearer than β − α and pushes negatives farther than β + α.

    Args:
        alpha: Half the width of the gap.
        beta: The boundary, fixed.
    """

    def __init__(self, alpha: float = 0.2, beta: float = 1.2) -> None:
        super().__init__()
        self.alpha = alpha
        self.beta = beta

    def forward(self, embedding: Tensor, labels: Tensor) -> Tensor:
        """Returns the sum over both kinds of terms by the number of active ones.

        Args:
            embedding: float32 `(batch, dim)`, of unit length.
            labels: int64 `(batch,)`.
        """
        with torch.no_grad():
            similarity = embedding @ embedding.t()
            distances = (2 - 2 * similarity).clamp(min=0).sqrt()
        triplets = mine_nearest(distances.cpu().numpy(), labels.cpu().numpy())
        anchors, positives, negatives = (torch.from_numpy(part) for part in triplets)
        near = _distance(embedding[anchors], embedding[positives])
        far = _distance(embedding[anchors], embedding[negatives])
        positive = functional.relu(near - self.beta + self.alpha)
        negative = functional.relu(self.beta - far + self.alpha)
        active = (positive > 0).sum() + (negative > 0).sum()
        return (positive.sum() + negative.sum()) / active.clamp(min=1)


def _distance(one: Tensor, other: Tensor) -> Tensor:
    return ((one - other).square().sum(1) + 1e-8).sqrt()
