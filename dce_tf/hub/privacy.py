"""What must not leave this machine: where things lie on it."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any

_BEGINS = r"(?:~|[A-Za-z]:[\\/]|\\\\|/|file:/)"
_WHOLE = re.compile(rf"{_BEGINS}\S.*", re.DOTALL)
_QUOTED = re.compile(rf"(?P<quote>['\"])(?P<path>{_BEGINS}.*?)(?P=quote)", re.DOTALL)
_OPTION = re.compile(rf"(?P<equals>=\s*)(?P<path>{_BEGINS}[^,()]*)(?=[,)])")


def without_paths(value: Any) -> Any:
    """Returns JSON values with the last name only of every absolute path.

    Args:
        value: Of a model card. A path is a whole text, such as a backbone's, or stands
            in quotes, as in `hf(path='/data/birds')`, or after an equals sign within
            parentheses, as in `mix(csv=/data/birds, glyphs)`.
    """
    if isinstance(value, dict):
        return {key: without_paths(each) for key, each in value.items()}
    if isinstance(value, list):
        return [without_paths(each) for each in value]
    if not isinstance(value, str):
        return value
    if _WHOLE.fullmatch(value):
        return _last_name(value)
    value = _QUOTED.sub(lambda found: _quoted(found["quote"], found["path"]), value)
    return _OPTION.sub(
        lambda found: f"{found['equals']}{_last_name(found['path'].rstrip())}", value
    )


def _quoted(quote: str, path: str) -> str:
    return f"{quote}{_last_name(path)}{quote}"


def _last_name(path: str) -> str:
    return PurePosixPath(path.replace("\\", "/")).name
