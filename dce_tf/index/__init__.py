"""Collections of embeddings that can be searched: on disk, in Milvus, in PostgreSQL."""

from dce_tf.index.building import build_collection
from dce_tf.index.collection import Collection, DamagedError, Hit, Id, Record
from dce_tf.index.opening import check_model, open_collection
from dce_tf.index.pictures import make_thumbnail

__all__ = [
    "Collection",
    "DamagedError",
    "Hit",
    "Id",
    "Record",
    "build_collection",
    "check_model",
    "make_thumbnail",
    "open_collection",
]
