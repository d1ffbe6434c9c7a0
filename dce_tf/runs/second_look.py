"""What is at the places of images, of a source that is scored with a second look."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from dce_tf.base.errors import UsageError
from dce_tf.base.program import PROGRAM
from dce_tf.config import DataSettings
from dce_tf.datasets import Images
from dce_tf.export.served import ServedModel
from dce_tf.index.collection import Places
from dce_tf.network.model import EmbeddingModel
from dce_tf.reports.display import Display
from dce_tf.runs.opening import Opened
from dce_tf.runs.places import read_batches
from dce_tf.runs.training_images import TrainingImages

PlacesOf = Callable[[Images], Places]


def places_of(opened: Opened, display: Display) -> PlacesOf:
    """Returns what computes the places of images, int8 `(images, places, dim)`.

    Args:
        opened: What is scored. A SavedModel has learned what places are compared by;
            of another model it is learned here, from the training images.
        display: Shows how far it is.

    Raises:
        UsageError: If the source has no places.
        ValueError: If it cannot be learned.
    """
    embedder: Any = opened.embedder
    if isinstance(embedder, ServedModel):
        embedder.require_places()
        return lambda images: _served(embedder, images, display)
    model = getattr(embedder, "model", None)
    if not isinstance(model, EmbeddingModel):
        raise UsageError(
            "--rerank=local compares places of images, which "
            f"{type(embedder).__name__} has not. Name a run, a checkpoint, or a "
            f"SavedModel of `{PROGRAM} export RUN --places`."
        )
    data = opened.config.data
    run = opened.run
    images = TrainingImages(opened.config, run.bad_images_file if run else None)
    head = images.places(model)
    compute = tf.function(head, autograph=False)
    return lambda images: _computed(compute, data, images, display)


def _computed(
    compute: Any, data: DataSettings, images: Images, display: Display
) -> Places:
    parts, done = [], 0
    with display.task("places", len(images)) as update:
        for batch in read_batches(data, images.paths):
            parts.append(compute(batch).numpy()[: len(images) - done])
            done += len(parts[-1])
            update(done, "")
    return np.concatenate(parts)


def _served(model: ServedModel, images: Images, display: Display) -> Places:
    with display.task("places", len(images)) as update:
        return model.looks(images.paths, lambda done: update(done, ""))[1]
