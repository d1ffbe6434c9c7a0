"""The command line: picks a command, reads its flags, turns errors into one line.

It is here and not in `main.py` so that the installed command `dce-tf` is the same.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import keyword
import os
import pkgutil
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

from absl import flags

from dce_tf import commands
from dce_tf.errors import UsageError
from dce_tf.profiles import find_recipe
from dce_tf.registry import suggest

DEFAULT_COMMAND = "train"
AGAIN_SECONDS = 10.0  # Until a request to stop that nothing came of is repeated.
_ALIAS = "Alias for --"  # How absl's help of an alias begins.

USAGE = """\
Usage: python main.py [COMMAND] [--flag=value ...]

Without a command it trains; without flags on the built-in example.

Commands:
{commands}

`python main.py COMMAND --help` lists the flags of a command. Dashes and underscores
in flag names mean the same; --flagfile=FILE reads flags from a file.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: The words of the command line after the program; by default the real ones.

    Returns:
        Exit code: 0, 1 for a run that failed, 2 for a wrong command, 130 if stopped.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    verbose = any(normalise(word) in ("--verbose", "--verbose=true") for word in words)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "0" if verbose else "2")
    try:
        with _interruptible():
            return _run(words, verbose)
    except KeyboardInterrupt:
        print(
            "\nStopped. The same command goes on from the last checkpoint.",
            file=sys.stderr,
        )
        return 130
    except BrokenPipeError:
        # Whoever read our output has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if verbose:
            traceback.print_exc()
        print(f"Error: {_one_line(error)}", file=sys.stderr)
        return 2 if isinstance(error, UsageError | flags.Error) else 1


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Makes Ctrl-C and SIGTERM raise KeyboardInterrupt until it is heard.

    Raised inside a destructor or a callback of C code, an exception is only printed.
    """

    def interrupt(*_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asking = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)
    before = [signal.signal(each, interrupt) for each in asking]
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for each, handler in zip(asking, before, strict=True):
            signal.signal(each, handler)


def _run(words: list[str], verbose: bool) -> int:
    name, words = _split_command(words)
    if name is None:
        print(USAGE.format(commands=_command_list()), end="")
        return 0
    with contextlib.nullcontext() if verbose else _quietly():
        command = importlib.import_module(f"{commands.__name__}.{module_of(name)}")
        if "tensorflow" in sys.modules:
            # Looks for GPUs, once, which without one is a matter of many words.
            sys.modules["tensorflow"].config.list_physical_devices()
    values = flags.FlagValues()
    command.define_flags(values)
    if any(word in ("--help", "-h", "-help", "--helpfull") for word in words):
        print(_help(name, command, values), end="")
        return 0
    words = _spelled_alike(words, values)
    arguments = values(["main.py", *words])[1:]
    recipe = None
    if "profile" in values:
        recipe = find_recipe(values["profile"].value, values["dataset"].value)
    if recipe is not None:
        values.unparse_flags()
        values(["main.py", *_spelled_alike([f"--flagfile={recipe}"], values), *words])
    settings = {flag: values[flag].value for flag in values}
    code: int = command.run(settings, arguments)
    return code


def _split_command(words: list[str]) -> tuple[str | None, list[str]]:
    if not words or words[0].startswith("-"):
        return (None if words[:1] in (["--help"], ["-h"]) else DEFAULT_COMMAND), words
    name = words[0]
    if name == "help":
        return None, []
    if name not in command_names():
        raise UsageError(
            f"Unknown command {name!r}.{suggest(name, command_names())} "
            f"Known: {', '.join(command_names())}."
        )
    return name, words[1:]


def command_names() -> list[str]:
    """Returns the commands there are: one module each."""
    modules = pkgutil.iter_modules(commands.__path__)
    return sorted(module.name.rstrip("_") for module in modules)


def module_of(name: str) -> str:
    """Returns the module of a command: a word of Python's own has a line behind it."""
    return f"{name}_" if keyword.iskeyword(name) else name


def _spelled_alike(words: list[str], values: flags.FlagValues) -> list[str]:
    """Returns words, those of flagfiles in their place, with names as absl has them."""
    expanded = values.read_flags_from_files(words, force_gnu=False)
    return [_negated(normalise(word), values) for word in expanded]


def normalise(word: str) -> str:
    """Turns the dashes inside a flag's name into underscores."""
    if not word.startswith("--"):
        return word
    name, equals, value = word[2:].partition("=")
    return f"--{name.replace('-', '_')}{equals}{value}"


def _negated(word: str, values: flags.FlagValues) -> str:
    """Accepts `--no_export` for absl's `--noexport`."""
    positive = word.removeprefix("--no_")
    return f"--no{positive}" if positive != word and positive in values else word


def _command_list() -> str:
    # Read, not imported: that would load TensorFlow to print a list.
    lines = []
    for name in command_names():
        source = (Path(commands.__path__[0]) / f"{module_of(name)}.py").read_text(
            encoding="utf-8"
        )
        first = (ast.get_docstring(ast.parse(source)) or "").splitlines()[0]
        lines.append(f"  {name:<10} {first}")
    return "\n".join(lines)


def _help(name: str, command: ModuleType, values: flags.FlagValues) -> str:
    lines = [
        f"python main.py {name} [--flag=value ...]",
        "",
        command.__doc__ or "",
        "Flags:",
    ]
    aliases: dict[str, list[str]] = {}
    for flag in values:
        if values[flag].help.startswith(_ALIAS):
            original = values[flag].help.removeprefix(_ALIAS).rstrip(".")
            aliases.setdefault(original, []).append(flag)
    own = [flag for flag in values if not values[flag].help.startswith(_ALIAS)]
    for flag in own:
        also = "".join(f" (also --{alias})" for alias in aliases.get(flag, []))
        lines += [
            f"  --{flag}={values[flag].default}{also}",
            f"      {values[flag].help}",
        ]
    return "\n".join(lines) + "\n"


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Holds back what TensorFlow's libraries print as they load, unless that fails."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as sink:
        os.dup2(sink.fileno(), 2)
        try:
            yield
        except BaseException:
            sink.seek(0)
            os.write(kept, sink.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _one_line(error: Exception) -> str:
    # absl begins some of its own with a second "ERROR".
    text = str(error).removeprefix("ERROR:: ") or type(error).__name__
    if isinstance(error, ValueError | OSError | flags.Error):
        return " ".join(text.split())
    return f"{text.splitlines()[0]} ({type(error).__name__}; --verbose shows where)"
