"""Retrieval metrics for `compile`: exact over all images, not a mean over batches."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from dce_tf.base.errors import UsageError
from dce_tf.batch.labels import exact_labels
from dce_tf.retrieval import evaluate_retrieval


class RetrievalMetric(keras.metrics.Metric):
    """Searches each image among all others, once all are there.

    The embeddings of all batches are kept in the memory of the host, float32, until
    `reset_state`; of several replicas, those of all. So the result does not depend on
    the batch size, nor on the order of the images. While an epoch runs it is NaN, as
    no search of half the images is the score of all: Keras shows it so on its bar, and
    the score in the logs of the epoch, in the history, and from `evaluate`.

    XLA cannot take embeddings out of a step: compile with `jit_compile=False`, as
    `EmbeddingModel` does by itself.

    Args:
        key: Of `evaluate_retrieval`.
        recall_at: The K that it needs for that.
        name: Of the metric.

    Call arguments:
        y_true: Labels; see `labels.exact_labels`.
        y_pred: Embeddings, float `(batch, embedding_dim)`; compared by cosine, as
            `evaluate_retrieval` does by default.
        sample_weight: None.

    Raises:
        ValueError: If there are sample weights, or several processes train together,
            of which each would see its own images only.
    """

    def __init__(self, key: str, recall_at: int, name: str) -> None:
        super().__init__(name=name, dtype="float32")
        self._key = key
        self._recall_at = recall_at
        self._batches: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]] = []

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Keeps the embeddings of a batch."""
        if sample_weight is not None:
            raise ValueError(
                f"{self.name} takes no sample_weight: each image is one query. Give it "
                "to compile as one of the metrics, not of the weighted_metrics."
            )
        if tf.distribute.get_strategy().extended._in_multi_worker_mode():
            raise ValueError(
                f"{self.name} would see the images of one process of several. Evaluate "
                "in one process, or with dce_tf.evaluate_retrieval."
            )
        embedding = tf.cast(tf.convert_to_tensor(y_pred), tf.float32)
        labels, _ = exact_labels(y_true, tf.shape(embedding)[0])
        tf.numpy_function(self._keep, [labels, embedding], [])

    def _keep(
        self, labels: npt.NDArray[np.int64], embedding: npt.NDArray[np.float32]
    ) -> None:
        # Both at once: the replicas call this in threads of their own.
        self._batches.append((np.array(labels), np.array(embedding)))

    def result(self) -> Any:
        """Returns the score of the images so far; NaN in a graph, or without any."""
        if not tf.executing_eagerly() or not self._batches:
            return tf.constant(float("nan"))
        labels, embeddings = map(np.concatenate, zip(*self._batches, strict=True))
        scores = evaluate_retrieval(
            embeddings,
            labels,
            embeddings,
            labels,
            recall_at=(self._recall_at,),
            map_at=(),
            leave_one_out=True,
        )
        return tf.constant(scores[self._key], tf.float32)

    def reset_state(self) -> None:
        """Forgets all images."""
        self._batches.clear()


@keras.saving.register_keras_serializable(package="dce_tf")
class RecallAtK(RetrievalMetric):
    """The share of images with one of their class among the k nearest others.

    Exact over all images that `evaluate` or an epoch has seen, as
    `evaluate_retrieval` counts (ties and lone images are misses).

    Args:
        k: 1 or more.
        name: Default: `recall@k`.

    Call arguments and result: see `RetrievalMetric`.

    Raises:
        UsageError: If k is below 1.
    """

    def __init__(self, k: int = 1, name: str | None = None) -> None:
        if k < 1:
            raise UsageError(f"RecallAtK(k={k}): expected a whole number of 1 or more.")
        super().__init__(f"recall@{k}", k, name or f"recall@{k}")
        self.k = k

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"k": self.k, "name": self.name}


@keras.saving.register_keras_serializable(package="dce_tf")
class MeanAveragePrecisionAtR(RetrievalMetric):
    """MAP@R: the precision at each right one among the R nearest, summed, over R.

    R is how many others of its class an image has (Musgrave et al., "A metric learning
    reality check", ECCV 2020). Exact over all images that `evaluate` or an epoch has
    seen, as `evaluate_retrieval` counts.

    Args:
        name: Default: `map@r`.

    Call arguments and result: see `RetrievalMetric`.
    """

    def __init__(self, name: str = "map@r") -> None:
        super().__init__("map@r", 1, name)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"name": self.name}
