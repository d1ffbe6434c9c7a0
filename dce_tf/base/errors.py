"""Errors, and how they are worded."""

import re
import textwrap

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


def first_line(error: Exception) -> str:
    """Returns what an error of a library says, as the beginning of our own sentence."""
    return plain_words(error).splitlines()[0].rstrip(". ")
