"""Scoring the model on a split, by itself and after each epoch."""

from __future__ import annotations

import time
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from dce_tf.datasets import Images
from dce_tf.retrieval import clustering_nmi, evaluate_retrieval
from dce_tf.training.display import Display
from dce_tf.training.extractor import Extractor

Embeddings = npt.NDArray[np.float32]


class Evaluator:
    """Embeds a split and measures retrieval in it.

    Args:
        extractor: Runs the model.
        recall_at: The K of recall@K.
        backend: Where FAISS searches: `"auto"`, `"faiss"` or `"faiss-gpu"`.
        seed: Decides where the k-means of the NMI starts.
        display: Shows how far the embedding is.
    """

    def __init__(
        self,
        extractor: Extractor,
        recall_at: tuple[int, ...],
        *,
        backend: str = "auto",
        seed: int = 0,
        display: Display | None = None,
    ) -> None:
        self.extractor = extractor
        self.recall_at = recall_at
        self.backend = backend
        self.seed = seed
        self._display = display or Display()

    def embed(self, images: Images, name: str = "embedding") -> Embeddings:
        """Returns the embeddings of a split, float32 `(num_images, embedding_dim)`."""
        with self._display.task(name, len(images)) as update:
            return self.extractor.embeddings(
                images.paths, lambda done: update(done, "")
            )

    def evaluate(
        self, query: Images, gallery: Images, name: str = "evaluation"
    ) -> tuple[dict[str, float], Embeddings, Embeddings]:
        """Scores a search of `query` in `gallery`.

        Args:
            query: What is searched for.
            gallery: What is searched in; `query` itself for leave-one-out.
            name: What the display calls it.

        Returns:
            The metrics, each 0 to 1, and the embeddings of both.
        """
        found = self.embed(query, name)
        among = found if gallery is query else self.embed(gallery, name)
        metrics = evaluate_retrieval(
            found,
            query.labels,
            among,
            gallery.labels,
            recall_at=self.recall_at,
            leave_one_out=gallery is query,
            backend=self.backend,
        )
        everything, labels = found, query.labels
        if gallery is not query:
            everything = np.concatenate([found, among])
            labels = np.concatenate([query.labels, gallery.labels])
        metrics["nmi"] = clustering_nmi(
            everything, labels, seed=self.seed, backend=self.backend
        )
        return metrics, found, among


class Evaluate(keras.callbacks.Callback):
    """Scores the split that chooses the best epoch, and writes into the epoch's logs.

    Args:
        evaluator: Does the work.
        query: What is searched for.
        gallery: What is searched in.
        split: Name of the split, for the logs: `"val"` or `"test"`.
        every: Epochs between two evaluations; the last epoch always has one.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        query: Images,
        gallery: Images,
        split: str,
        every: int = 1,
    ) -> None:
        super().__init__()
        self._evaluator = evaluator
        self._query = query
        self._gallery = gallery
        self._split = split
        self._every = every

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Adds the metrics to `logs` if it is time."""
        last = epoch + 1 == self.params["epochs"]
        if logs is None or not (last or (epoch + 1) % self._every == 0):
            return
        logs.update(self.scores())

    def scores(self) -> dict[str, Any]:
        """Returns the metrics of the model as it is, and the split they are of."""
        started = time.perf_counter()
        metrics, _, _ = self._evaluator.evaluate(self._query, self._gallery)
        return {
            "evaluated_on": self._split,
            **metrics,
            "seconds_evaluate": time.perf_counter() - started,
        }
