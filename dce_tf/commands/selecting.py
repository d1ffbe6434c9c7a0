"""What commands have in common: which run they are about, and how much they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from dce_tf.base.errors import UsageError


def define_run_flag(values: flags.FlagValues) -> None:
    """Defines `--run`, and `--verbose`."""
    flags.DEFINE_string("run", None, "The run directory.", flag_values=values)
    define_verbose_flag(values)


def define_verbose_flag(values: flags.FlagValues) -> None:
    """Defines `--verbose`, which every command has."""
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
