"""From a trained model to what serves it; imported when it is first used.

What an exported version says of itself is read without TensorFlow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dce_tf.export.embedder import ServableEmbedder
    from dce_tf.export.formats import EXPORT_FORMATS
    from dce_tf.export.saved_model import export_saved_model
    from dce_tf.export.versions import resolve_version
    from dce_tf.export.writing import write_version

__all__ = [
    "EXPORT_FORMATS",
    "ServableEmbedder",
    "export_saved_model",
    "resolve_version",
    "write_version",
]

_HOMES = {
    "EXPORT_FORMATS": "formats",
    "ServableEmbedder": "embedder",
    "export_saved_model": "saved_model",
    "resolve_version": "versions",
    "write_version": "writing",
}


def __getattr__(name: str) -> Any:
    """Imports a name when it is first used (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
