"""Flags from the environment, for commands that run in containers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from absl import flags

from dce_tf.base.errors import UsageError
from dce_tf.base.registry import suggest

_SERVICE_LINKS = re.compile(r"(?:\w+_)?SERVICE_(?:HOST|PORT\w*)|(?:\w+_)?PORT_\d+\w*")


def take_from_environment(
    values: flags.FlagValues,
    prefix: str,
    environment: Mapping[str, str],
    *,
    given: Sequence[str] = (),
    others: Sequence[str] = (),
) -> None:
    """Sets the flags that are not on the command line from variables, if there are any.

    Args:
        values: The flags, parsed.
        prefix: With which the variables begin; the flag's name in capitals follows.
        environment: The variables. An empty one counts as none, as compose files
            pass on what is not set.
        given: Flags that are on the command line in another form.
        others: Variables with the prefix that are no flags.

    Raises:
        UsageError: If a variable is for no flag, or has a value that the flag refuses.
    """
    names = {f"{prefix}{flag.upper()}": flag for flag in values}
    for variable, text in sorted(environment.items()):
        if not text or not variable.startswith(prefix) or variable in others:
            continue
        flag = names.get(variable)
        if flag is None:
            if _is_service_link(variable.removeprefix(prefix), text):
                continue
            raise UsageError(
                f"{variable} in the environment is for no flag of this command."
                f"{suggest(variable, names)}"
            )
        if values[flag].present or flag in given:
            continue
        is_multiple = isinstance(values[flag], flags.MultiFlag)
        try:
            values[flag].parse(text.splitlines() if is_multiple else text)
        except flags.IllegalFlagValueError as error:
            raise UsageError(f"{variable} in the environment: {error}") from error


def _is_service_link(name: str, text: str) -> bool:
    """Returns whether Kubernetes set it, for a Service that is called `dce-tf…`."""
    is_address = text.startswith(("tcp://", "udp://"))
    return is_address or _SERVICE_LINKS.fullmatch(name) is not None
