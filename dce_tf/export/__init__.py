"""From a trained model to what serves it."""

from dce_tf.export.saved_model import export_saved_model

__all__ = ["export_saved_model"]
