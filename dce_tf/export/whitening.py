"""A model whose embedding is turned and scaled, so that its numbers are alike."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from dce_tf.base.errors import UsageError
from dce_tf.export.projection import with_projection
from dce_tf.network.layers import DivideConquerEmbedding
from dce_tf.network.model import EmbeddingModel

Vectors = npt.NDArray[np.floating[Any]]
Axes = npt.NDArray[np.float64]

_LEAST = 1e-6  # Of the largest standard deviation: below it is rounding.


@dataclasses.dataclass(frozen=True, eq=False)
class Whitening:
    """What whitens vectors: `(vector − mean) · turn`, then to unit length.

    Attributes:
        mean: float64 `(dim,)`.
        turn: float64 `(dim, kept)`: the main axes, each divided by the standard
            deviation of the vectors along it; those along which they vary most first.
        variance: Share of the vectors' variance along the axes that are kept, 0 to 1.
        num_images: How many vectors it was learned from.
    """

    mean: npt.NDArray[np.float64]
    turn: npt.NDArray[np.float64]
    variance: float
    num_images: int

    def __call__(self, vectors: Vectors) -> npt.NDArray[np.float32]:
        """Returns vectors whitened, float32 `(num_vectors, kept)`, of unit length."""
        turned = (vectors - self.mean) @ self.turn
        lengths = np.linalg.norm(turned, axis=1, keepdims=True)
        unit: npt.NDArray[np.float32] = (turned / np.maximum(lengths, 1e-12)).astype(
            np.float32
        )
        return unit

    def as_json(self) -> dict[str, Any]:
        """Returns what a model card says of it."""
        return {
            "method": "PCA",
            "numbers_before": len(self.mean),
            "fitted_on_training_images": self.num_images,
            "share_of_variance": self.variance,
        }


def check_width(kept: int, dim: int) -> None:
    """Checks how many numbers whitening is to leave.

    Args:
        kept: How many.
        dim: How many the embedding has.

    Raises:
        UsageError: If it cannot.
    """
    if not 1 <= kept <= dim:
        raise UsageError(
            f"--whiten={kept}: the embedding has {dim} numbers. Use 1 to {dim}."
        )


def check_count(num_images: int, dim: int) -> None:
    """Checks that there are images enough to learn whitening from.

    Args:
        num_images: How many there are.
        dim: How many numbers the embedding has.

    Raises:
        ValueError: If there are too few.
    """
    if num_images <= dim:
        raise ValueError(
            f"--whiten: found {num_images} training images, expected more than the "
            f"embedding has numbers, {dim + 1} or more: fewer do not vary along every "
            "axis. Name a larger data set by --dataset and --data_dir, or leave the "
            "flag out."
        )


def fit_whitening(vectors: Vectors, kept: int) -> Whitening:
    """Learns whitening from vectors, by principal component analysis.

    Jégou and Chum, "Negative evidences and co-occurrences in image retrieval: the
    benefit of PCA and whitening" (ECCV 2012), section 3.

    Args:
        vectors: Of training images, as the projection gives them, before they are
            scaled to unit length: `(num_images, dim)`.
        kept: How many numbers are left, 1 to `dim`.

    Raises:
        UsageError: If `kept` is not in range, or the vectors vary along fewer axes.
        ValueError: If there are no more vectors than they have numbers, or one is not
            finite.
    """
    num_images, dim = vectors.shape
    check_width(kept, dim)
    check_count(num_images, dim)
    if not np.isfinite(vectors).all():
        raise ValueError(
            "--whiten: the embedding of a training image is not finite, so the model "
            "is broken. Export another epoch."
        )
    mean, deviations, axes = main_axes(vectors)
    varying = axes.shape[1]
    if varying < kept:
        raise UsageError(
            f"--whiten={kept}: the embeddings of {num_images} training images vary "
            f"along {varying} axes only. "
            + (f"Use 1 to {varying}." if varying else "Leave the flag out.")
        )
    share = np.square(deviations[:kept]).sum() / np.square(deviations).sum()
    return Whitening(mean, axes[:, :kept] / deviations[:kept], float(share), num_images)


def main_axes(vectors: Vectors) -> tuple[Axes, Axes, Axes]:
    """Finds the axes along which vectors vary, by principal component analysis.

    Args:
        vectors: Finite, `(num_vectors, dim)`.

    Returns:
        The mean `(dim,)`; the standard deviations `(varying,)`, falling; the axes as
        columns, `(dim, varying)`. Axes along which there is only rounding are left out.
    """
    mean = vectors.mean(axis=0, dtype=np.float64)
    centred = vectors - mean
    values, axes = np.linalg.eigh(centred.T @ centred / len(vectors))
    deviations, axes = np.sqrt(np.maximum(values[::-1], 0)), axes[:, ::-1]
    varying = int(np.count_nonzero(deviations > _LEAST * deviations[0]))
    axes = axes[:, :varying]
    # An axis has two directions, of which the same is taken each time.
    largest = np.abs(axes).argmax(axis=0)
    axes = axes * np.sign(axes[largest, np.arange(varying)])
    return mean, deviations[:varying], axes


def project(model: EmbeddingModel, features: Vectors) -> Vectors:
    """Returns embeddings before they are scaled to unit length, float64.

    Args:
        model: The network.
        features: float `(num_images, feature_dim)`.
    """
    layer = model.embedding
    kernel = np.asarray(layer.kernel, np.float64)
    return features @ kernel + np.asarray(layer.bias, np.float64)


def whiten_model(model: EmbeddingModel, whitening: Whitening) -> EmbeddingModel:
    """Returns a model whose embedding is whitened.

    Whitening comes before the embedding is scaled to unit length, so that it becomes
    part of the projection: the model has no layer more.

    Args:
        model: Stays as it is; the two share the backbone.
        whitening: Of its projection.
    """
    whole = model.embedding
    kernel = np.asarray(whole.kernel, np.float64) @ whitening.turn
    bias = (np.asarray(whole.bias, np.float64) - whitening.mean) @ whitening.turn
    layer = DivideConquerEmbedding(kernel.shape[1], dtype=whole.dtype_policy)
    return with_projection(model, layer, kernel, bias)
