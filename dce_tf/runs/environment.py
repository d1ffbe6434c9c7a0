"""What numbers were measured with."""

from __future__ import annotations

import importlib.metadata
import platform
from typing import Any

from dce_tf import __version__
from dce_tf.base.program import INSTALLED
from dce_tf.runs import devices

_PACKAGES = ("tensorflow", "keras", "numpy", "faiss-cpu", "faiss-gpu")


def environment() -> dict[str, Any]:
    """Returns what the numbers of a report were measured with."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": devices.describe(),
        INSTALLED: __version__,
        **versions,
    }
