"""Readers: one file a data set format, each from a folder to `Splits`."""

from dce_tf.base.registry import Registry, import_siblings
from dce_tf.datasets.splits import Images, OpenSet, Search, Splits

DATASETS: Registry[Splits] = Registry(
    "dataset", context=("data_dir", "allow_partial_data")
)

import_siblings(__name__, __path__)

__all__ = ["DATASETS", "Images", "OpenSet", "Search", "Splits"]
