"""From a trained model to what serves it."""

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
