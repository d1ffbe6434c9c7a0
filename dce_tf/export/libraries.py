"""Packages that only some formats need."""

from __future__ import annotations

import importlib
from typing import Any

from dce_tf.base.errors import UsageError
from dce_tf.base.program import tell_to_install


def load_library(name: str, *packages: str, needed_by: str = "This --format") -> Any:
    """Imports what an optional format needs.

    Args:
        name: The module.
        *packages: What to install to have it.
        needed_by: How the error begins: the flag that needs it.

    Raises:
        UsageError: If it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UsageError(
            f"{needed_by} needs {name}: `pip install {' '.join(packages)}`, or for all "
            f"formats {tell_to_install('formats')}."
        ) from error
