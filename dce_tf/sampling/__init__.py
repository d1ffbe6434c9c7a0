"""Which rows go into which batch: plain NumPy, no TensorFlow; one sampler a file."""

from collections.abc import Callable
from typing import Any

from dce_tf.registry import Registry, import_siblings

SAMPLERS: Registry[Callable[..., Any]] = Registry("sampler")

import_siblings(__name__, __path__)

from dce_tf.sampling.class_balanced import class_balanced_batches  # noqa: E402
from dce_tf.sampling.plan import EpochPlan, Sampler, plan_epoch  # noqa: E402

__all__ = ["SAMPLERS", "EpochPlan", "Sampler", "class_balanced_batches", "plan_epoch"]
