"""The command line: picks a command, reads its flags, turns errors into one line.

It is here and not in `main.py` so that the installed command `dce-tf` is the same.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

from absl import flags

from dce_tf import __version__
from dce_tf.base.errors import UsageError, interrupt_in, plain_words
from dce_tf.base.program import INSTALLED
from dce_tf.base.registry import suggest
from dce_tf.commands.finding import command_names, flags_of
from dce_tf.commands.help_pages import asked_help, write_help, write_usage
from dce_tf.commands.running import normalise, run_command

DEFAULT_COMMAND = "train"
AGAIN_SECONDS = 10.0  # Until a request to stop that nothing came of is repeated.


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: The words of the command line after the program; by default the real ones.

    Returns:
        Exit code: 0, 1 for a run that failed, 2 for a wrong command, 130 if stopped.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    verbose = any(normalise(word) in ("--verbose", "--verbose=true") for word in words)
    verbose |= os.environ.get("DCE_TF_VERBOSE", "").lower() in ("1", "t", "true")
    # Its errors are of GPUs; on a CPU they tell what does no harm.
    quiet = "2" if Path("/dev/nvidiactl").exists() else "3"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "0" if verbose else quiet)
    try:
        with _interruptible():
            return _run(words, verbose)
    except KeyboardInterrupt as stop:
        return _stopped(stop)
    except BrokenPipeError:
        # Whoever read our output has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if isinstance(error, ValueError) and (heard := interrupt_in(error)):
            return _stopped(heard)
        if verbose:
            traceback.print_exc()
        print(f"Error: {_one_line(error)}", file=sys.stderr)
        return 2 if isinstance(error, UsageError | flags.Error) else 1


def _stopped(stop: KeyboardInterrupt) -> int:
    words = ["\nStopped.", *getattr(stop, "__notes__", ())]
    print(" ".join(words), file=sys.stderr)
    return 130


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
    if words[:1] == ["--version"]:
        print(f"{INSTALLED} {__version__}")
        return 0
    name, words = _split_command(words)
    if name is None:
        print(write_usage(), end="")
        return 0
    which = asked_help(words)
    if which is None:
        return run_command(name, words, verbose=verbose)
    values = flags.FlagValues()
    flags_of(name).define_flags(values)
    print(write_help(name, values, which), end="")
    return 0


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


def _one_line(error: Exception) -> str:
    # absl begins some of its own with a second "ERROR".
    text = plain_words(error).removeprefix("ERROR:: ")
    if isinstance(error, ValueError | OSError | flags.Error):
        return " ".join(text.split())
    return f"{text.splitlines()[0]} ({type(error).__name__}; --verbose shows where)"
