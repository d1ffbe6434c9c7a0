"""Search in the graph: the signature that answers with the nearest of a gallery."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from dce_tf.base.errors import UsageError
from dce_tf.export.embedder import ServableEmbedder, graph_of, traced
from dce_tf.export.gallery import Gallery

SERVE_TOP_K = "top_k"


class GallerySearch(tf.Module):
    """Finds the images of a gallery whose embeddings are nearest, by comparing all.

    Args:
        embedder: From images to embeddings.
        gallery: What is searched in. It is stored with the weights, not in the graph,
            which may not exceed 2 GB.
        k: How many are found.

    Raises:
        UsageError: If the gallery has fewer.
    """

    def __init__(self, embedder: ServableEmbedder, gallery: Gallery, k: int) -> None:
        super().__init__(name="gallery")
        if not 1 <= k <= len(gallery.ids):
            raise UsageError(
                f"--top_k={k}: the gallery has {len(gallery.ids)} images. Use 1 to "
                f"{len(gallery.ids)}."
            )
        self._embedder = embedder
        self._k = k
        self._vectors = tf.Variable(gallery.vectors, trainable=False)
        with tf.device("CPU:0"):
            self._ids = tf.Variable(np.asarray(gallery.ids, object), trainable=False)
            self._labels = tf.Variable(
                np.asarray(gallery.labels, object), trainable=False
            )

    def signature(self) -> Any:
        """Returns the function of `top_k`.

        From `image_bytes`, string `(batch,)`, to `ids` and `labels`, string `(batch,
        k)`, and `scores`, float32 `(batch, k)`, cosine similarities, the nearest first.
        """

        @graph_of(tf.TensorSpec((None,), tf.string, "image_bytes"))
        def find(image_bytes: Any) -> dict[str, Any]:
            embedding = self._embedder.embed_bytes(image_bytes)
            similarity = tf.matmul(embedding, self._vectors, transpose_b=True)
            scores, rows = tf.math.top_k(similarity, self._k)
            with tf.device("CPU:0"):
                ids, labels = (
                    tf.gather(names, rows) for names in (self._ids, self._labels)
                )
            return {"ids": ids, "scores": scores, "labels": labels}

        return traced(find)
