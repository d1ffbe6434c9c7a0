"""What a model can be exported as: one format a file."""

from dce_tf.base.registry import Registry, import_siblings
from dce_tf.export.formats.base import ExportFormat

EXPORT_FORMATS: Registry[ExportFormat] = Registry(
    "export format", context=("top_k_index", "top_k", "real_images")
)

import_siblings(__name__, __path__)

__all__ = ["EXPORT_FORMATS", "ExportFormat"]
