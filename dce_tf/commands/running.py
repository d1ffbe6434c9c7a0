"""Runs one command from its words, as the command line gives them."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from typing import Any

from absl import flags

from dce_tf import commands
from dce_tf.base.errors import UsageError
from dce_tf.base.plugins import load_plugins
from dce_tf.base.program import PROGRAM
from dce_tf.base.registry import suggest
from dce_tf.commands.environment import take_from_environment
from dce_tf.commands.finding import flags_of, module_name
from dce_tf.commands.quietly import load_tensorflow_quietly
from dce_tf.config.flags import replaced_by
from dce_tf.config.profiles import find_recipe


def run_command(name: str, words: Sequence[str], *, verbose: bool = False) -> int:
    """Runs a command.

    Args:
        name: The command.
        words: The words of the command line after it.
        verbose: Show what TensorFlow's libraries print as they load.

    Returns:
        Exit code.
    """
    settings, arguments = read_words(name, words)
    if not verbose:
        load_tensorflow_quietly()
    command = importlib.import_module(f"{commands.__name__}.{module_name(name)}")
    load_plugins(settings.get("plugin"))
    code: int = command.run(settings, arguments)
    return code


def read_words(name: str, words: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Reads the words of a command: flags, recipe and environment.

    Args:
        name: The command.
        words: The words of the command line after it.

    Returns:
        The value of each flag of the command, and the words that are no flags.

    Raises:
        flags.Error: If the value of a flag is refused.
        UsageError: If a word is no flag of the command, there is no such recipe, or a
            variable of the environment is wrong.
    """
    values = flags.FlagValues()
    taken = flags_of(name)
    taken.define_flags(values)
    spelled = _spelled_alike(words, values)
    try:
        arguments = values([PROGRAM, *spelled])[1:]
    except flags.UnrecognizedFlagError as error:
        wrong = f"--{error.flagname}"
        hint = suggest(wrong, [f"--{flag}" for flag in values])
        raise UsageError(f"{name} has no flag {wrong}.{hint}") from error
    if hasattr(taken, "ENVIRONMENT"):
        take_from_environment(
            values,
            taken.ENVIRONMENT,
            os.environ,
            given=["run"] if arguments else [],
            others=taken.OTHER_VARIABLES,
        )
    unnamed = _names_a_folder_only(values)
    if "profile" in values and "dataset" in values:
        _add_recipe(values, spelled)
    if unnamed and values["dataset"].value == values["dataset"].default:
        raise UsageError(_of_which(values))
    return {flag: values[flag].value for flag in values}, arguments


def normalise(word: str) -> str:
    """Turns the dashes inside a flag's name into underscores."""
    if not word.startswith("--"):
        return word
    name, equals, value = word[2:].partition("=")
    return f"--{name.replace('-', '_')}{equals}{value}"


def _add_recipe(values: flags.FlagValues, words: list[str]) -> None:
    """Reads the recipe that the flags ask for, if there is one; they win over it."""
    recipe = find_recipe(values["profile"].value, values["dataset"].value)
    if recipe is None:
        return
    given = [flag for flag in values if values[flag].present]
    values.unparse_flags()
    values([PROGRAM, *_spelled_alike([f"--flagfile={recipe}"], values), *words])
    for flag in replaced_by(given):
        values[flag].unparse()


def _names_a_folder_only(values: flags.FlagValues) -> bool:
    """Returns whether the data set is to be the default in a folder of the user's."""
    if "dataset" not in values or "data_dir" not in values:
        return False
    dataset = values["dataset"]
    return (
        values["data_dir"].present
        and not dataset.present
        and dataset.default is not None
    )


def _of_which(values: flags.FlagValues) -> str:
    """Says that the built-in example would be trained in the folder of other data."""
    default = values["dataset"].default
    return (
        f"--data_dir={values['data_dir'].value}: which --dataset lies there? Pass "
        "--dataset=folder for a folder of classes, --dataset=csv for an index.csv, or "
        f"another of `{PROGRAM} options dataset`; --dataset={default} to keep the "
        "built-in example there."
    )


def _spelled_alike(words: Sequence[str], values: flags.FlagValues) -> list[str]:
    """Returns words, those of flagfiles in their place, with names as absl has them."""
    expanded = values.read_flags_from_files(list(words), force_gnu=False)
    return [_negated(normalise(word), values) for word in expanded]


def _negated(word: str, values: flags.FlagValues) -> str:
    """Accepts `--no_export` for absl's `--noexport`."""
    positive = word.removeprefix("--no_")
    return f"--no{positive}" if positive != word and positive in values else word
