"""From a trained model to what serves it."""

from dce_tf.export.saved_model import export_saved_model
from dce_tf.export.versions import resolve_version

__all__ = ["export_saved_model", "resolve_version"]
