"""Losses: one file each."""

from dce_tf.base.registry import Registry, import_siblings
from dce_tf.losses.base import MetricLoss, Space

LOSSES: Registry[MetricLoss] = Registry("loss", context=("num_classes", "class_counts"))

import_siblings(__name__, __path__)

from dce_tf.losses.choose import build_loss, check_loss  # noqa: E402

__all__ = ["LOSSES", "MetricLoss", "Space", "build_loss", "check_loss"]
