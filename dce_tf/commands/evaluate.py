"""Score the best epoch of a run on its test split."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags

from dce_tf import config as config_module
from dce_tf import devices
from dce_tf.runs.loading import load_data
from dce_tf.runs.outcome import load_best_model
from dce_tf.runs.selecting import define_run_flag, opened_run
from dce_tf.runs.session import build_evaluator
from dce_tf.training.display import Display

_OVERRIDES = (
    "data_dir",
    "backend",
    "num_workers",
    "evaluation_batch_size",
    "cuda_device",
)


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of the command."""
    define_run_flag(values)
    config_module.define_flags(values, _OVERRIDES, unset=True)
    flags.DEFINE_bool("json", False, "Print the scores as JSON.", flag_values=values)


def run(settings: Mapping[str, Any], arguments: Sequence[str]) -> int:
    """Evaluates."""
    opened = opened_run(settings, arguments)
    given = {name: settings[name] for name in _OVERRIDES if settings[name] is not None}
    config = dataclasses.replace(opened.config(), **given)
    devices.configure(config)
    display = Display()
    splits = load_data(config, opened, display)
    evaluator = build_evaluator(load_best_model(opened), config, splits, display)
    scores, _, _ = evaluator.evaluate(splits.query, splits.gallery)
    if settings["json"]:
        print(json.dumps(scores, indent=2))
    else:
        for key, value in scores.items():
            display.note(f"{key:<12} {value:.4f}")
    return 0
