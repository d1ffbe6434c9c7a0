"""Export the best epoch of a run as a SavedModel for TensorFlow Serving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags

from dce_tf.export import export_saved_model
from dce_tf.runs.outcome import load_best_model
from dce_tf.runs.selecting import define_run_flag, opened_run


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of the command."""
    define_run_flag(values)


def run(settings: Mapping[str, Any], arguments: Sequence[str]) -> int:
    """Exports."""
    opened = opened_run(settings, arguments)
    model = load_best_model(opened)
    print(export_saved_model(model, opened.config().image_size, opened.export))
    return 0
