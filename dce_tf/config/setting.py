"""One setting: a field of a part, with what its flag says and what it allows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from dce_tf.base.errors import UsageError
from dce_tf.base.registry import suggest


def setting(
    default: Any,
    text: str,
    *,
    alias: str | None = None,
    choices: Sequence[str] = (),
    lowest: float | None = None,
    below: float | None = None,
    identity: bool = True,
    basic: bool = False,
    group: str | None = None,
    words: Mapping[str, int] | None = None,
    replaces: Sequence[str] = (),
) -> Any:
    """A field that becomes a flag.

    Args:
        default: Value where neither the command line nor a recipe names one.
        text: The flag's help.
        alias: The flag's name in the 2019 reference program, if another.
        choices: The only values allowed, if any.
        lowest: The smallest value allowed, if any.
        below: The smallest value that is too large, if any.
        identity: Whether a run with another value is another run, so that it
            cannot be resumed with it.
        basic: Whether the short help shows it.
        group: Where the help shows it, if not among those of its part of `Config`.
        words: Words that the flag of an integer takes for some of its values.
        replaces: Settings of a recipe that do not hold where the command line has this
            one, as it says the same in another way.
    """
    metadata = {
        "help": text,
        "alias": alias,
        "choices": tuple(choices),
        "lowest": lowest,
        "below": below,
        "identity": identity,
        "basic": basic,
        "group": group,
        "words": dict(words or {}),
        "replaces": tuple(replaces),
    }
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
    """Settings that belong together. Frozen: what was logged is what ran.

    Raises:
        UsageError: If a value is out of range, or two values do not fit together.
    """

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _check_value(field, getattr(self, field.name))
        self.check()

    def check(self) -> None:
        """Checks values that must fit together, for parts that have such values.

        Raises:
            UsageError: If they do not.
        """


def _check_value(field: dataclasses.Field[Any], value: Any) -> None:
    choices, lowest = field.metadata["choices"], field.metadata["lowest"]
    below = field.metadata["below"]
    if choices and value not in choices:
        raise UsageError(
            f"--{field.name}={value} is not one of {', '.join(choices)}."
            f"{suggest(str(value), choices)}"
        )
    if lowest is not None and value is not None and not value >= lowest:
        raise UsageError(f"--{field.name}={value} must be at least {lowest}.")
    if below is not None and value is not None and not value < below:
        raise UsageError(f"--{field.name}={value} must be below {below}.")
