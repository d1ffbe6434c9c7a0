"""Steps of `fit` on one drawn batch, timed."""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np


def seconds_per_step(model: Any, image_size: int, batch: int, steps: int) -> float:
    """Trains a compiled model by `fit`; returns the median seconds of a step.

    Args:
        model: A compiled `EmbeddingModel`.
        image_size: Side of the images in pixels.
        batch: Images of the batch, four of each class.
        steps: How many are timed, after one that traces.
    """
    import keras
    import tensorflow as tf

    images = np.random.default_rng(0).uniform(
        0, 255, (batch, image_size, image_size, 3)
    )
    one = tf.constant(images, tf.float32), tf.constant(np.arange(batch) // 4)
    ends: list[float] = []
    note = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda *_, **__: ends.append(time.perf_counter())
    )
    data = tf.data.Dataset.from_tensors(one).repeat(steps + 1)
    model.fit(data, callbacks=[note], shuffle=False, verbose=0)
    return statistics.median(np.diff(ends))
