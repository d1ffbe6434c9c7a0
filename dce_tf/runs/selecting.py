"""Which run a command is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from dce_tf.errors import UsageError
from dce_tf.run_directory import RunDirectory


def define_run_flag(values: flags.FlagValues) -> None:
    """Defines `--run`, and `--verbose`, which every command has."""
    flags.DEFINE_string("run", None, "The run directory.", flag_values=values)
    flags.DEFINE_bool(
        "verbose", False, "Show tracebacks and warnings.", flag_values=values
    )


def named_path(settings: Mapping[str, Any], arguments: Sequence[str]) -> Path:
    """Returns what `--run`, or the only word, names.

    Raises:
        UsageError: If none or several are named.
    """
    named = [*([settings["run"]] if settings["run"] else []), *arguments]
    if len(named) != 1:
        raise UsageError(
            f"Expected one run directory, as --run=DIR; received {len(named)}."
        )
    return Path(named[0])


def opened_run(settings: Mapping[str, Any], arguments: Sequence[str]) -> RunDirectory:
    """Returns the run that is named.

    Raises:
        UsageError: If none or several are named.
        ValueError: If there is no run there.
    """
    return RunDirectory.opened(named_path(settings, arguments))
