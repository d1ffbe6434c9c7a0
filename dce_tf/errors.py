"""The one error that means the command, not the run, is at fault."""


class UsageError(ValueError):
    """A flag or option that cannot work: received, expected, remedy. Exit code 2."""
