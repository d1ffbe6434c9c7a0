"""Settings that depend on the data: `--num_clusters=auto` and `--max_steps`."""

from __future__ import annotations

import numpy as np

from dce_tf.config import Config
from dce_tf.config.division import AUTO
from dce_tf.datasets import Images


def resolve(config: Config, train: Images) -> Config:
    """Returns the settings with what they leave to the data.

    Args:
        config: The settings as given.
        train: The images to train on.
    """
    division = config.division
    changes: dict[str, int] = {}
    if division.num_clusters == AUTO:
        changes["num_clusters"] = fitting_clusters(config, train)
    if division.max_steps is not None:
        steps = division.steps_per_epoch
        if steps is None:
            steps = max(1, len(train) // config.loss.batch_size)
        changes["steps_per_epoch"] = steps
        changes["num_epochs"] = -(-division.max_steps // steps)
    return config.replace(**changes) if changes else config


def fitting_clusters(config: Config, train: Images) -> int:
    """Returns how many clusters leave each twice the classes that a batch holds.

    With fewer, batches of a cluster are of the same few classes again and again. The
    number is a power of two, which every schedule takes.

    Args:
        config: The settings.
        train: The images to train on.
    """
    places = config.loss.batch_size // config.loss.samples_per_class
    classes = np.count_nonzero(np.bincount(train.labels, minlength=1) > 1)
    count = 1
    while 2 * count * 2 * places <= classes and config.takes_clusters(2 * count):
        count *= 2
    return count
