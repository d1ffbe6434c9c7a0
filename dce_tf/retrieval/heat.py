"""Which places of two images speak for their similarity."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class MatchHeat:
    """Heat-maps of matches: of each image for its other, and the other way round.

    Attributes:
        images: float32 `(num_matches, rows, columns)`. What each place gives to the
            score: below 0 where it speaks against it.
        others: float32, the same of the others.
        scores: float32 `(num_matches,)`, cosines: what either map of a match sums to.
    """

    images: Array
    others: Array
    scores: Array

    @classmethod
    def of(cls, images: Array, others: Array) -> MatchHeat:
        """Compares images and others, the first with the first.

        Args:
            images: Shares of each place of the images in their embeddings, float32
                `(num_matches, rows, columns, embedding_dim)`; see `network.shares`.
            others: Those of the others.
        """
        of_images, of_others = images.sum((1, 2)), others.sum((1, 2))
        return cls(
            heat_maps(images, of_others),
            heat_maps(others, of_images),
            np.einsum("nd,nd->n", of_images, of_others),
        )


def heat_maps(shares: Array, others: Array) -> Array:
    """Returns what each place of images gives to their cosine with others.

    Args:
        shares: Of each place in the embeddings of the images, float32 `(num_matches,
            rows, columns, embedding_dim)`.
        others: What they are compared with, float32 `(num_matches, embedding_dim)`, of
            unit length.

    Returns:
        float32 `(num_matches, rows, columns)`; each map sums to the cosine of a match.
    """
    return np.einsum("nrcd,nd->nrc", shares, others)
