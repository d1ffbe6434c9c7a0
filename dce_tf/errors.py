"""Errors, and how they are told."""


class UsageError(ValueError):
    """A flag or option that cannot work: received, expected, remedy. Exit code 2."""


def first_line(error: Exception) -> str:
    """Returns what an error of a library says, as the beginning of our own sentence."""
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0].rstrip(". ")
