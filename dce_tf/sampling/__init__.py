"""Which rows go into which batch: plain NumPy, no TensorFlow; one sampler a file."""

from dce_tf.base.registry import Registry, import_siblings
from dce_tf.sampling.request import BatchRequest, Sampler

SAMPLERS: Registry[Sampler] = Registry("sampler")

import_siblings(__name__, __path__)

from dce_tf.sampling.plan import EpochPlan, plan_epoch  # noqa: E402

__all__ = ["SAMPLERS", "BatchRequest", "EpochPlan", "Sampler", "plan_epoch"]
