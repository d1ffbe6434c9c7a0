"""Errors, and how they are worded."""

import contextlib
import re
import textwrap
from collections.abc import Callable, Iterator

_COLOUR = re.compile(r"\x1b\[\d*m")
# What Keras and TensorFlow say around an error in a layer or a traced function.
_AROUND = (
    re.compile(
        r"Exception encountered when calling [^\n]*\n+(?P<inner>.+?)"
        r"(?:\n\nArguments received by .*)?",
        re.DOTALL,
    ),
    re.compile(
        r"in user code:\n+(?: {4}File [^\n]*\n(?: {8}[^\n]*\n)*)+\n+"
        r" {4}[\w.]+: (?P<inner>.+)",
        re.DOTALL,
    ),
)


class UsageError(ValueError):
    """A flag or option that cannot work: received, expected, remedy. Exit code 2."""


def plain_words(error: Exception) -> str:
    """Returns what an error says, without what Keras and TensorFlow put around it."""
    text = _COLOUR.sub("", str(error)).strip()
    while found := next((p for each in _AROUND if (p := each.fullmatch(text))), None):
        first, newline, rest = found["inner"].partition("\n")
        text = f"{first}{newline}{textwrap.dedent(rest)}".strip()
    return text or type(error).__name__


def interrupt_in(error: BaseException) -> KeyboardInterrupt | None:
    """Returns the request to stop that an error is, or that code failed after.

    A zip archive that is being written complains when it is closed.
    """
    each: BaseException | None = error
    while each is not None and not isinstance(each, KeyboardInterrupt):
        each = each.__context__
    return each


@contextlib.contextmanager
def noted_if_stopped(say: Callable[[], str]) -> Iterator[None]:
    """Adds to a request to stop what becomes of the work, for the command line to say.

    Args:
        say: Returns one sentence or more, asked for when the request comes.
    """
    try:
        yield
    except BaseException as error:
        stop = interrupt_in(error)
        if stop is not None and not hasattr(stop, "__notes__"):
            stop.add_note(say())
        raise


def first_line(error: Exception) -> str:
    """Returns what an error of a library says, as the beginning of our own sentence."""
    return plain_words(error).splitlines()[0].rstrip(". ")
