"""Runs the commands from a folder of photographs to a search page."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from dce_tf import config as config_module
from dce_tf.base.errors import UsageError
from dce_tf.base.program import PROGRAM
from dce_tf.commands.flags.quickstart import SETTINGS
from dce_tf.commands.running import read_words, run_command
from dce_tf.commands.selecting import values_of
from dce_tf.commands.serve import check_installed
from dce_tf.config import Config
from dce_tf.quickstart.costs import describe_estimate, estimate_seconds
from dce_tf.quickstart.looking import Found, describe, look
from dce_tf.quickstart.networks import choose_network
from dce_tf.quickstart.planning import (
    choose_settings,
    cost_of,
    explain,
    image_size,
    work_of,
)
from dce_tf.quickstart.resuming import begun_run, check_same_data, run_name, settings_of
from dce_tf.quickstart.steps import command_line, run_steps, steps_to_page, train_words
from dce_tf.reports.display import Display
from dce_tf.runs.resolving import resolve
from dce_tf.serving.browser import has_display


def run(settings: Mapping[str, Any], arguments: Sequence[str]) -> int:
    """Goes from a folder to its page."""
    if len(arguments) != 1:
        raise UsageError(
            f"Expected one folder of photographs, received {len(arguments)}: "
            f"`{PROGRAM} quickstart DIR`."
        )
    if settings["serve"]:
        check_installed()
    display = Display()
    found = look(arguments[0])
    display.note(describe(found))
    given = values_of(settings, SETTINGS)
    chosen, config = _choose(found, given, display)
    _explain(found, config, display)
    opens = settings["open"]
    steps = steps_to_page(
        found,
        chosen,
        config,
        serves=settings["serve"],
        opens=has_display() if opens is None else opens,
        port=settings["port"],
    )
    if settings["dry_run"]:
        for step in steps:
            display.note(f"  {command_line(step, step.words())}")
        return 0
    display.note("The same command goes on where it was stopped.")
    return run_steps(steps, run_command, display)


def _choose(
    found: Found, given: Mapping[str, Any], display: Display
) -> tuple[dict[str, Any], Config]:
    """Returns the settings of the run for `train`, and the same with all others."""
    given = {"dir": "quickstart", "exp": run_name(found), **given}
    begun = begun_run(found, given)
    if begun is not None:
        check_same_data(begun, found)
        chosen = settings_of(begun, found, given, _config({"dataset": found.dataset}))
        display.note(f"Goes on with {begun.path}.")
    else:
        size = given.get("image_size", image_size(found, is_pretrained=True))
        network = choose_network(given.get("backbone"), size)
        display.note(f"Network: {network.reason}")
        chosen = choose_settings(found, network, given)
    return chosen, resolve(_config(chosen), found.splits.train)


def _config(chosen: Mapping[str, Any]) -> Config:
    """Returns the settings that `train` has with these words."""
    values, _ = read_words("train", train_words(chosen))
    return config_module.from_flags(values)


def _explain(found: Found, config: Config, display: Display) -> None:
    for line in explain(found, config):
        display.note(line)
    cost = cost_of(config)
    seconds = estimate_seconds(work_of(found, config), cost, os.cpu_count() or 1)
    has_gpu = bool(tf.config.list_physical_devices("GPU"))
    display.note(describe_estimate(seconds, cost, has_gpu=has_gpu))
