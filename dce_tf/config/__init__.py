"""Every setting of a run, once: the fields of its parts are the list of flags."""

from dce_tf.config.data import DataSettings
from dce_tf.config.distillation import DistillationSettings
from dce_tf.config.division import DivisionSettings
from dce_tf.config.evaluation import EvaluationSettings
from dce_tf.config.flags import canonical_name, define_flags, from_flags, to_flags
from dce_tf.config.loss import LossSettings
from dce_tf.config.network import NetworkSettings
from dce_tf.config.optimizer import OptimizerSettings
from dce_tf.config.run import RunSettings
from dce_tf.config.whole import Config, help_groups

__all__ = [
    "Config",
    "DataSettings",
    "DistillationSettings",
    "DivisionSettings",
    "EvaluationSettings",
    "LossSettings",
    "NetworkSettings",
    "OptimizerSettings",
    "RunSettings",
    "canonical_name",
    "define_flags",
    "from_flags",
    "help_groups",
    "to_flags",
]
