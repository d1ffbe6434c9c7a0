"""What each place of an image gives to its embedding: shares that sum to it.

Stylianou et al., "Visualizing Deep Similarity Networks" (WACV 2019), split the cosine
of two images by place for a feature map that is averaged and compared as it is. Here
the same is done for every pooling that scales with its input: by Euler's theorem such a
pooling is the sum over all places of map · gradient, so that for a power mean a place
counts as much as its power, and for a maximum the place where it is. What follows, a
projection, masks, and each learner's length, is linear once the lengths are known.
"""

from __future__ import annotations

import math
from typing import Any

from keras import ops

from dce_tf.base.errors import UsageError
from dce_tf.network.layers import DivideConquerEmbedding, GeneralizedMeanPooling
from dce_tf.network.model import EmbeddingModel

EXPLAINED = ("avg", "max", "gem")
"""The poolings whose embeddings can be split by place."""


def why_not_split(model: Any) -> str | None:
    """Returns why the embeddings of a model cannot be split by place, or None.

    Args:
        model: Any Keras model.
    """
    if not isinstance(model, EmbeddingModel):
        return (
            f"a {type(model).__name__} is not explained, whose layers may be any; "
            "dce_tf.EmbeddingModel is"
        )
    if model.pool is None:
        return (
            "its backbone gives one vector for an image, not a map or tokens; save the "
            "backbone as it is before it pools"
        )
    if model.pooling not in EXPLAINED:
        return (
            f"--pooling={model.pooling} takes one token, in which all places are mixed "
            f"already; it works for --pooling={', '.join(EXPLAINED)}"
        )
    return None


def place_shares(model: EmbeddingModel, images: Any, learner: Any = None) -> Any:
    """Splits the embeddings of images by place.

    What belongs to no place is spread over all evenly: the bias of the projection, and
    tokens before those of the patches, such as a class token or registers.

    Args:
        model: With pooling `"avg"`, `"max"` or `"gem"`.
        images: Float tensor `(batch, height, width, 3)`, 0 to 255, RGB.
        learner: Integer scalar tensor: split the part of this learner, not the whole.

    Returns:
        float32 tensor `(batch, rows, columns, embedding_dim)`, or `learner_units` last.
        Its sum over rows and columns is what `model(images, learner=learner)` returns.

    Raises:
        UsageError: If the model cannot be split by place.
    """
    if reason := why_not_split(model):
        raise UsageError(f"There is no heat-map of a match for this model: {reason}.")
    maps = ops.cast(model.maps(images), "float32")
    rows, columns, num_extra = _grid(maps)
    places = ops.reshape(maps, (-1, rows * columns + num_extra, maps.shape[-1]))
    shares = _projected(model.embedding, _pooled(model, places))
    if num_extra:
        of_none = ops.sum(shares[:, :num_extra], axis=1, keepdims=True)
        shares = shares[:, num_extra:] + of_none / (rows * columns)
    shares = _scaled(model.embedding, shares, learner)
    return ops.reshape(shares, (-1, rows, columns, shares.shape[-1]))


def _grid(maps: Any) -> tuple[int, int, int]:
    """Returns rows, columns, and how many tokens stand before those of patches."""
    if len(maps.shape) == 4:
        return maps.shape[1], maps.shape[2], 0
    # Images are square, so patches are too; fewer than a row of tokens stand before.
    side = math.isqrt(maps.shape[1])
    return side, side, maps.shape[1] - side**2


def _pooled(model: EmbeddingModel, maps: Any) -> Any:
    """Splits pooled features; `(batch, places, channels)` to the same."""
    num_places = maps.shape[1]
    if model.pooling == "avg":
        return maps / num_places
    top = ops.max(maps, axis=1, keepdims=True)
    if isinstance(model.pool, GeneralizedMeanPooling):
        features = ops.expand_dims(model.pool(maps), 1)
        least = model.pool.least
        weights = ops.maximum(maps, least) / ops.maximum(top, least)
        weights = ops.power(weights, model.pool.p)
    else:
        features = top
        weights = ops.cast(maps == top, "float32")
    return features * weights / ops.sum(weights, axis=1, keepdims=True)


def _projected(layer: DivideConquerEmbedding, shares: Any) -> Any:
    """Splits raw vectors as features are split, `(batch, places, raw_units)`."""
    whole = ops.matmul(shares, layer.kernel) + layer.bias / shares.shape[1]
    if layer.head_kernel is None:
        return whole
    return ops.concatenate([whole, ops.matmul(shares, layer.head_kernel)], axis=-1)


def _scaled(layer: DivideConquerEmbedding, raw: Any, learner: Any) -> Any:
    """Splits embeddings as raw vectors are split, `(batch, places, units)`."""
    num_places, width = raw.shape[1], layer.units
    groups = layer.num_learners if layer.parts == "slices" else 1
    if learner is not None:
        width, groups = layer.learner_units, 1
    flat = layer.select(ops.reshape(raw, (-1, layer.raw_units)), learner)
    whole = ops.sum(raw, axis=1)
    # Each learner's slice has a length of its own.
    extent = (-1, 1, groups, width // groups)
    before = ops.reshape(layer.select(whole, learner), extent)
    after = ops.reshape(layer.part(whole, learner), extent)
    factor = _length(after) / ops.maximum(_length(before), 1e-12)
    shares = ops.reshape(flat, (-1, num_places, *extent[2:])) * factor
    return ops.reshape(shares, (-1, num_places, width))


def _length(vectors: Any) -> Any:
    return ops.sqrt(ops.sum(ops.square(vectors), axis=-1, keepdims=True))
