"""Losses: one file each."""

from dce_tf.losses.base import MetricLoss
from dce_tf.registry import Registry, import_siblings

LOSSES: Registry[MetricLoss] = Registry("loss", context=("miner",))

import_siblings(__name__, __path__)

__all__ = ["LOSSES", "MetricLoss"]
