"""What `--help` prints: the commands, and the flags of one of them in groups."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Sequence

from absl import flags

from dce_tf.base.errors import UsageError
from dce_tf.base.program import CHECKOUT, PROGRAM
from dce_tf.base.registry import suggest
from dce_tf.commands.finding import command_names, flags_of
from dce_tf.config import help_groups

ALL = "all"
_ALIAS = "Alias for --"  # How absl's help of an alias begins.
_WIDTH = 79

_USAGE = """\
Usage: {program} [COMMAND] [--flag=value ...]

Without a command it trains; without flags on the built-in example.

Commands:
{commands}

`{program} COMMAND --help` lists the flags of a command, `{program} --version`
tells the version. Dashes and underscores in flag names mean the same;
--flagfile=FILE reads flags from a file.
"""


def asked_help(words: Sequence[str]) -> str | None:
    """Returns the help that a command line asks for.

    Returns:
        "" for the short help, `ALL` or a group's name, or None if it asks for none.
        absl's own `--helpshort` and `--helpfull` are taken, too.
    """
    for word in words:
        if word in ("--help", "-h", "-help", "--helpshort"):
            return ""
        if word in ("--helpfull", "-helpfull"):
            return ALL
        if word.startswith(("--help=", "-help=")):
            return word.partition("=")[2]
    return None


def write_usage() -> str:
    """Returns the help of the program: its commands, each with one line."""
    firsts = {n: (flags_of(n).__doc__ or "").splitlines()[0] for n in command_names()}
    lines = "\n".join(f"  {name:<10} {first}" for name, first in firsts.items())
    return _USAGE.format(program=PROGRAM, commands=lines)


def write_help(name: str, values: flags.FlagValues, which: str) -> str:
    """Returns the help of one command.

    Args:
        name: The command.
        values: Its flags.
        which: "" for the flags used most, `ALL`, or a group's name.

    Raises:
        UsageError: If there is no such group.
    """
    about = (flags_of(name).__doc__ or "").replace(CHECKOUT, PROGRAM)
    groups = group_flags(name, values)
    if which not in ("", ALL, *groups):
        raise UsageError(
            f"--help={which}: expected one of {', '.join([ALL, *groups])}."
            f"{suggest(which, [ALL, *groups])}"
        )
    parts = [f"{PROGRAM} {name} [--flag=value ...]\n\n{about}\n"]
    parts.append(f"{_introduce(which, list(groups))}\n")
    for group, members in groups.items():
        if which in ("", ALL, group):
            shown = members if which else [each for each in members if each.is_basic]
            title = f"\n{group.capitalize()}\n" if shown and len(groups) > 1 else ""
            parts += [title, *(_describe(each, values) for each in shown)]
    return "".join(parts)


@dataclasses.dataclass(frozen=True)
class Entry:
    """A flag as the help shows it: `is_basic` says whether the short help does."""

    flag: flags.Flag
    is_basic: bool = True


def group_flags(name: str, values: flags.FlagValues) -> dict[str, list[Entry]]:
    """Returns the flags of a command in groups; in one, if it takes few settings.

    Args:
        name: The command.
        values: Its flags. Aliases stand in no group.
    """
    settings = help_groups()
    known = {field.name for group in settings.values() for field in group}
    own = [flag for flag in values if not values[flag].help.startswith(_ALIAS)]
    if len(known.intersection(own)) < len(known) / 2:
        return {name: [Entry(values[flag]) for flag in own]}
    groups = {name: [Entry(values[flag]) for flag in own if flag not in known]}
    for group, fields in settings.items():
        groups[group] = [
            Entry(values[field.name], field.metadata["basic"])
            for field in fields
            if field.name in values
        ]
    return groups


def _introduce(which: str, groups: Sequence[str]) -> str:
    if which == ALL or len(groups) == 1:
        return "Flags:"
    shown = f"those of the group {which}" if which else "the ones used most"
    text = (
        f"Flags: {shown}. --help={ALL} shows every flag, and --help=GROUP those of one "
        f"group: {', '.join(groups)}."
    )
    return textwrap.fill(text, _WIDTH)


def _describe(entry: Entry, values: flags.FlagValues) -> str:
    flag = entry.flag
    also = [
        f"--{name}"
        for name in values
        if values[name].help.rstrip(".") == f"{_ALIAS}{flag.name}"
    ]
    title = f"  --{flag.name}{_value(entry)}"
    title += f"  (also {', '.join(also)})" if also else ""
    text = f"{flag.help} {default_sentence(entry)}".strip()
    body = textwrap.fill(
        text,
        _WIDTH,
        initial_indent="      ",
        subsequent_indent="      ",
        break_on_hyphens=False,
        break_long_words=False,
    )
    return f"{title}\n{body}\n"


def _value(entry: Entry) -> str:
    """Returns what stands behind the name of a flag."""
    kind = entry.flag.flag_type()
    if kind == "bool":
        return f", --no_{entry.flag.name}"
    if kind in ("int", "float"):
        return "=NUMBER"
    return "=VALUE,…" if kind.startswith("comma") else "=VALUE"


def default_sentence(entry: Entry) -> str:
    """Returns the sentence that tells a default, unless the help has its own."""
    default = entry.flag.default
    if "default:" in entry.flag.help.lower():
        return ""
    if isinstance(default, bool):
        return f"Default: {'yes' if default else 'no'}."
    if isinstance(default, list):
        default = ",".join(map(str, default))
    elif isinstance(default, float):
        default = f"{default:g}"
    return f"Default: {'none' if default in (None, '') else default}."
