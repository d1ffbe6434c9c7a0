"""Learns, for a second look, what places of images are compared by."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from dce_tf.export.whitening import main_axes
from dce_tf.network.model import EmbeddingModel
from dce_tf.network.places import PlaceFeatures, PlaceHead

NUMBERS = 64
"""Of each place, as far as its features vary along as many axes."""

MOST_IMAGES = 512
"""That it is learned from."""

MOST_OF_IMAGE = 100
"""Places of each image that it is learned from."""


def fit_places(
    model: EmbeddingModel, image_size: int, batches: Iterable[Any]
) -> PlaceHead:
    """Whitens the features of places, so that no few of them decide.

    By principal component analysis, as Jégou and Chum (ECCV 2012) whiten whole images.

    Args:
        model: Built; its backbone gives a map or tokens.
        image_size: Side of its images in pixels.
        batches: Training images, float32 `(batch, image_size, image_size, 3)`, 0 to
            255.

    Raises:
        UsageError: If the model has no places.
        ValueError: If there are no images, or all of their places look alike.
    """
    features = PlaceFeatures(model, image_size)
    rng = np.random.default_rng(0)
    found = [np.empty((0, features.dim), np.float32)]
    for images in batches:
        places = np.asarray(features(images))
        drawn = rng.permutation(places.shape[1])[:MOST_OF_IMAGE]
        found.append(places[:, drawn].reshape(-1, features.dim))
    vectors = np.concatenate(found)
    if not len(vectors) or not np.isfinite(vectors).all():
        raise ValueError(
            "A second look is learned from training images: found "
            f"{'a model that is broken' if len(vectors) else 'none of them'}."
        )
    mean, deviations, axes = main_axes(vectors)
    if not len(deviations):
        raise ValueError("A second look: all places of the training images look alike.")
    kept = min(NUMBERS, len(deviations))
    return PlaceHead(features, mean, axes[:, :kept] / deviations[:kept])
