"""Features and embeddings of many images, as arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from dce_tf.model import EmbeddingModel
from dce_tf.pipelines import evaluation_dataset


class Extractor:
    """Runs the model, without training it, over image files.

    Args:
        model: The network.
        image_size: Side of its input in pixels.
        batch_size: Images a batch, over all replicas.
        strategy: Where to run; by default the strategy in scope.
        num_workers: Threads that read images; 0 takes one a processor.
    """

    def __init__(
        self,
        model: EmbeddingModel,
        image_size: int,
        *,
        batch_size: int = 128,
        strategy: tf.distribute.Strategy | None = None,
        num_workers: int = 0,
    ) -> None:
        self.model = model
        self._strategy = strategy or tf.distribute.get_strategy()
        replicas = self._strategy.num_replicas_in_sync
        self._reading = {
            "image_size": image_size,
            "batch_size": -(-batch_size // replicas) * replicas,
            "num_workers": num_workers,
        }
        self._features = self._compiled(lambda images: model.features(images))
        self._embeddings = self._compiled(lambda images: model(images))

    def features(
        self, paths: Sequence[str], on_batch: Callable[[int], None] = lambda _: None
    ) -> npt.NDArray[np.float32]:
        """Returns the features of images, float32 `(num_images, feature_dim)`.

        Args:
            paths: The image files.
            on_batch: Told after each batch how many images are done.
        """
        return self._run(self._features, paths, on_batch)

    def embeddings(
        self, paths: Sequence[str], on_batch: Callable[[int], None] = lambda _: None
    ) -> npt.NDArray[np.float32]:
        """Returns whole embeddings, float32 `(num_images, embedding_dim)`, unit length.

        Args:
            paths: The image files.
            on_batch: Told after each batch how many images are done.
        """
        return self._run(self._embeddings, paths, on_batch)

    def _compiled(self, function: Callable[[Any], Any]) -> Any:
        @tf.function
        def run(images: Any) -> Any:
            return self._strategy.run(function, (images,))

        return run

    def _run(
        self, function: Any, paths: Sequence[str], on_batch: Callable[[int], None]
    ) -> npt.NDArray[np.float32]:
        dataset = evaluation_dataset(paths, **self._reading)
        result: npt.NDArray[np.float32] | None = None
        start = 0
        for images in self._strategy.experimental_distribute_dataset(dataset):
            for part in self._strategy.experimental_local_results(function(images)):
                if result is None:
                    result = np.empty((len(paths), part.shape[-1]), np.float32)
                stop = min(start + len(part), len(paths))
                result[start:stop] = part.numpy()[: stop - start]
                start = stop
            on_batch(start)
        if result is None:
            raise ValueError("There are no images to run the model on.")
        return result
