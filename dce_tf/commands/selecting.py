"""What commands have in common: which run they are about, and how much they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from dce_tf.base.errors import UsageError
from dce_tf.hub.address import is_on_hub


def define_run_flag(values: flags.FlagValues) -> None:
    """Defines `--run`, and `--verbose`."""
    flags.DEFINE_string("run", None, "The run directory.", flag_values=values)
    define_verbose_flag(values)


def values_of(settings: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Returns those of some settings that have a value."""
    return {name: settings[name] for name in names if settings[name] is not None}


def define_verbose_flag(values: flags.FlagValues) -> None:
    """Defines `--verbose`, which every command has."""
    flags.DEFINE_bool(
        "verbose", False, "Show tracebacks and warnings.", flag_values=values
    )


def named_path(settings: Mapping[str, Any], arguments: Sequence[str]) -> Path:
    """Returns where that lies which `--run`, or the only word, names.

    What is on the Hub is fetched.

    Raises:
        UsageError: If none or several are named.
        ValueError: If it cannot be fetched.
    """
    return path_of(named_source(settings, arguments))


def path_of(source: str) -> Path:
    """Returns where a run or a model lies; what is on the Hub is fetched.

    Raises:
        ValueError: If it cannot be fetched.
    """
    return _local_source(source)


def cached_path_of(source: str) -> Path:
    """Returns where a model lies; of the Hub's only what was fetched before.

    For what a file names and not the user: a stranger is not to choose a program.

    Raises:
        ValueError: If it was not fetched.
    """
    return _local_source(source, only_cached=True)


def _local_source(source: str, *, only_cached: bool = False) -> Path:
    if not is_on_hub(source):
        return Path(source)
    # What was fetched is looked through with TensorFlow, which a path is read without.
    from dce_tf.hub.fetching import local_source

    return local_source(source, only_cached=only_cached)


def own_path(source: str, why: str) -> Path:
    """Returns the path of a run, for what the export of one is not enough for.

    Args:
        source: What the user named.
        why: What it is needed for, and what to do, as a sentence.

    Raises:
        UsageError: If it is on the Hub.
    """
    if is_on_hub(source):
        raise UsageError(f"{source} is an exported model, not a run. {why}")
    return Path(source)


def named_source(settings: Mapping[str, Any], arguments: Sequence[str]) -> str:
    """Returns what `--run`, or the only word, names: a path, or an address of the Hub.

    Raises:
        UsageError: If none or several are named.
    """
    named = [*([settings["run"]] if settings["run"] else []), *arguments]
    if len(named) != 1:
        raise UsageError(
            f"Expected one run directory, as --run=DIR; received {len(named)}."
        )
    return str(named[0])
