"""What numbers were measured with."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from typing import Any

from dce_tf import __version__
from dce_tf.base.program import INSTALLED

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
        "device": _device(),
        INSTALLED: __version__,
        **versions,
    }


def _device() -> str:
    if "tensorflow" not in sys.modules:
        return f"CPU, {os.cpu_count()} processors; TensorFlow was not needed"
    from dce_tf.runs import devices

    return devices.describe()
