"""Runs and the plugins that they are trained with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dce_tf.base.errors import UsageError
from dce_tf.base.plugins import load_plugins, names_of
from dce_tf.config import Config
from dce_tf.record.run_directory import RunDirectory


def settings_of(run: RunDirectory, given: Mapping[str, Any] | None = None) -> Config:
    """Returns the settings of a run, with its plugins loaded.

    Args:
        run: The run.
        given: What the command line says; it wins.

    Raises:
        UsageError: If a plugin is not where it was: `--plugin` says where it is.
    """
    config = run.config().replace(**(given or {}))
    load_plugins(config.run.plugin)
    return config


def check_plugins(config: Config) -> None:
    """Checks that a run to resume is given the plugins it began with.

    Raises:
        UsageError: If they are others. A file may lie in another folder now.
    """
    run = RunDirectory.of(config)
    if config.run.overwrite or not run.metrics_file.is_file():
        return
    if not run.config_file.is_file():
        return
    began, now = run.config().run.plugin, config.run.plugin
    if names_of(began) != names_of(now):
        wanted = f"--plugin={began}" if began else "no --plugin"
        raise UsageError(
            f"{run.path} was begun with {wanted} (now {now or 'none'}). Pass the same "
            "to resume it, or use another --exp beside it, or --overwrite."
        )
