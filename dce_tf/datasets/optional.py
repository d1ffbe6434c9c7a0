"""Libraries that only some readers need."""

from __future__ import annotations

import importlib
from types import ModuleType

from dce_tf.base.errors import UsageError


def require(module: str, package: str, dataset: str) -> ModuleType:
    """Imports a library.

    Args:
        module: What to import.
        package: What it is called by pip.
        dataset: The reader that needs it, for the error.

    Raises:
        UsageError: If it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise UsageError(
            f"--dataset={dataset} needs the package {package}: pip install {package}"
        ) from error
