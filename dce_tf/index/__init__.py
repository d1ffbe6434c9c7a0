"""Collections of embeddings that can be searched: on disk here, or in Milvus."""

from dce_tf.index.collection import Collection, Hit, Id, Record

__all__ = ["Collection", "Hit", "Id", "Record"]
