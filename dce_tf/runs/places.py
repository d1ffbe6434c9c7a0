"""Learns what places of images are compared by, from the images of a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from dce_tf.config import DataSettings
from dce_tf.export.places import MOST_IMAGES, fit_places
from dce_tf.network.model import EmbeddingModel
from dce_tf.network.places import PlaceHead
from dce_tf.training.pipelines import EvaluationPipelines


def learn_places(
    model: EmbeddingModel, data: DataSettings, paths: Sequence[str]
) -> PlaceHead:
    """Learns what places are compared by, from some training images.

    Args:
        model: Built.
        data: How images are read.
        paths: Of the training images; the same ones are drawn each time.
    """
    drawn = np.random.default_rng(0).permutation(len(paths))[:MOST_IMAGES]
    chosen = [paths[row] for row in drawn]
    return fit_places(model, data.image_size, _whole_batches(data, chosen))


def _whole_batches(data: DataSettings, paths: Sequence[str]) -> Iterator[Any]:
    """Yields the images without those that fill the last batch."""
    left = len(paths)
    for batch in read_batches(data, paths):
        yield batch[:left]
        left -= len(batch)


def read_batches(data: DataSettings, paths: Sequence[str]) -> Iterable[Any]:
    """Returns batches of images as evaluation reads them; the last image fills them.

    Args:
        data: How images are read.
        paths: The image files.
    """
    if not paths:
        return ()
    size = min(data.evaluation_batch_size, len(paths))
    batches: Iterable[Any] = EvaluationPipelines(
        data.image_size, size, data.num_workers
    ).build(paths)
    return batches
