"""Settings as flags of the command line: flat, one for each field of each part."""

from __future__ import annotations

import typing
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from absl import flags

from dce_tf.config.whole import PARTS, Config, all_fields

_DEFINE = {
    str: flags.DEFINE_string,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    bool: flags.DEFINE_bool,
}


class _WordsOrInteger(flags.IntegerParser):
    """Reads an integer, or a word that stands for one."""

    syntactic_help = "an integer, or a word"

    def __init__(self, words: Mapping[str, int]) -> None:
        super().__init__()
        self._words = words

    def convert(self, argument: int | str) -> int:
        """Returns the integer."""
        if isinstance(argument, str) and argument.strip() in self._words:
            return self._words[argument.strip()]
        try:
            return super().convert(argument)
        except ValueError:
            words = " or ".join(self._words)
            raise ValueError(f"expected an integer, or {words}") from None


def define_flags(
    values: flags.FlagValues,
    names: Sequence[str] | None = None,
    *,
    unset: bool = False,
    otherwise: str = "as in the run",
) -> None:
    """Defines one flag, and its alias, for each setting.

    Args:
        values: Where to define them.
        names: Only these settings, if given.
        unset: Make None the default, to tell what was given from what was not and
            stays as it is.
        otherwise: What the help calls that default.
    """
    types: dict[str, Any] = {}
    for part in PARTS.values():
        types |= typing.get_type_hints(part)
    for field in all_fields():
        if names is not None and field.name not in names:
            continue
        declared = types[field.name]
        kind = next(k for k in _DEFINE if k in (declared, *typing.get_args(declared)))
        default = None if unset else field.default
        text = field.metadata["help"]
        if field.metadata["choices"]:
            text += f" One of: {', '.join(field.metadata['choices'])}."
        if unset and "default:" not in text:
            text += f" Default: {otherwise}."
        if field.metadata["words"]:
            parser = _WordsOrInteger(field.metadata["words"])
            flags.DEFINE(parser, field.name, default, text, flag_values=values)
        else:
            _DEFINE[kind](field.name, default, text, flag_values=values)
        if field.metadata["alias"]:
            flags.DEFINE_alias(field.metadata["alias"], field.name, flag_values=values)


def replaced_by(given: Collection[str]) -> set[str]:
    """Returns the settings of a recipe that do not hold beside those that are given."""
    names = {
        name
        for field in all_fields()
        if field.name in given
        for name in field.metadata["replaces"]
    }
    return names - set(given)


def canonical_name(flag: str) -> str:
    """Returns the setting that a flag stands for, which may be an alias of it."""
    aliases = {field.metadata["alias"]: field.name for field in all_fields()}
    return aliases.get(flag, flag)


def from_flags(values: Mapping[str, Any]) -> Config:
    """Builds the settings from flag values by name; the rest are defaults."""
    names = [field.name for field in all_fields() if field.name in values]
    return Config(**{name: values[name] for name in names})


def to_flags(config: Config) -> list[str]:
    """Returns the words of a command line that has these settings."""
    return [
        f"--{name}={value}"
        for name, value in config.as_dict().items()
        if value is not None
    ]
