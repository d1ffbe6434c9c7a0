"""Features and embeddings of many images, as arrays."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from dce_tf.base.files import array_on_disk, facts_of_file, kept_array
from dce_tf.batch import distances
from dce_tf.clustering.points import unit_length
from dce_tf.network.model import EmbeddingModel
from dce_tf.training.pipelines import EvaluationPipelines, PictureReader
from dce_tf.training.workers import Workers

_FEATURES_VERSION = 1  # Of how images are read and features kept.
_ROWS = 4096  # Features that become embeddings, or are sent, at once.


class Extractor:
    """Runs the model, without training it, over image files.

    Args:
        model: The network.
        image_size: Side of its input in pixels.
        batch_size: Images per batch, over all replicas. Each process of a strategy runs
            its share of the images; all get the results.
        strategy: Where to run; by default the strategy in scope.
        num_workers: Threads that read images; 0 takes one a processor.
        reader: Where the pictures come from; by default the files.
    """

    def __init__(
        self,
        model: EmbeddingModel,
        image_size: int,
        *,
        batch_size: int = 128,
        strategy: tf.distribute.Strategy | None = None,
        num_workers: int = 0,
        reader: PictureReader | None = None,
    ) -> None:
        self.model = model
        self._image_size = image_size
        self._strategy = strategy or tf.distribute.get_strategy()
        self._workers = Workers(self._strategy)
        # Devices of this process; the others have as many.
        self._devices = self._strategy.num_replicas_in_sync // self._workers.count
        size = -(-batch_size // self._strategy.num_replicas_in_sync) * self._devices
        self._pipelines = EvaluationPipelines(image_size, size, num_workers, reader)
        self._features = self._compiled(lambda images: model.features(images))
        self._unit_features = self._compiled(
            lambda images: distances.unit_length(model.features(images))
        )
        self._embeddings = self._compiled(lambda images: model(images))

    def features(
        self,
        paths: Sequence[str],
        on_batch: Callable[[int], None] = lambda _: None,
    ) -> npt.NDArray[np.float32]:
        """Returns the features of images, float32 `(num_images, feature_dim)`.

        Args:
            paths: The image files.
            on_batch: Told after each batch how many images are done.
        """
        width = self.model.backbone.output_shape[-1]
        return self._run(self._features, width, paths, on_batch)

    def unit_features(
        self,
        paths: Sequence[str],
        on_batch: Callable[[int], None] = lambda _: None,
        into: Path | None = None,
    ) -> npt.NDArray[np.float32]:
        """Returns the features of images at unit length, as they are clustered.

        Args:
            paths: The image files.
            on_batch: Told after each batch how many images are done.
            into: Folder of a file that holds them, instead of memory. Of several
                processes only the chief then gets all, the others their share.

        Returns:
            float32 `(num_images, feature_dim)`.
        """
        width = self.model.backbone.output_shape[-1]
        return self._run(self._unit_features, width, paths, on_batch, into)

    def embeddings(
        self,
        paths: Sequence[str],
        on_batch: Callable[[int], None] = lambda _: None,
        into: Path | None = None,
    ) -> npt.NDArray[np.float32]:
        """Returns whole embeddings, float32 `(num_images, embedding_dim)`, unit length.

        Args:
            paths: The image files.
            on_batch: Told after each batch how many images are done.
            into: As of `unit_features`.
        """
        width = self.model.embedding.units
        return self._run(self._embeddings, width, paths, on_batch, into)

    def digest(self, paths: Sequence[str]) -> str:
        """Returns what tells these features from those of other images or networks.

        An image that changed is recognised by its size or time.

        Args:
            paths: The image files.

        Returns:
            32 hexadecimal digits.
        """
        backbone = self.model.backbone
        kinds = [type(layer).__name__ for layer in backbone._flatten_layers()]
        facts = [_FEATURES_VERSION, self._image_size, self.model.pooling, kinds]
        found = hashlib.sha256(json.dumps(facts).encode())
        for weight in backbone.weights:
            found.update(np.ascontiguousarray(weight.numpy()).tobytes())
        for path in paths:
            found.update(f"{path} {facts_of_file(Path(path))}\n".encode())
        return found.hexdigest()[:32]

    def _compiled(self, function: Callable[[Any], Any]) -> Any:
        @tf.function(autograph=False)
        def run(images: Any) -> Any:
            return self._strategy.run(function, (images,))

        return run

    def _run(
        self,
        function: Any,
        width: int,
        paths: Sequence[str],
        on_batch: Callable[[int], None],
        into: Path | None = None,
    ) -> npt.NDArray[np.float32]:
        if not len(paths):
            raise ValueError("There are no images to run the model on.")
        own = self._workers.part_of(paths)
        result = _new_array((len(own), width), into)
        start = 0
        for images in self._batches(own):
            for part in self._strategy.experimental_local_results(function(images)):
                stop = min(start + len(part), len(own))
                result[start:stop] = part.numpy()[: stop - start]
                start = stop
            on_batch(min(start * self._workers.count, len(paths)))
        if into is None or self._workers.count == 1:
            return self._workers.gather(result)
        return self._gather_on_disk(result, into)

    def _gather_on_disk(
        self, own: npt.NDArray[np.float32], folder: Path
    ) -> npt.NDArray[np.float32]:
        """Returns the rows of all processes to the chief, its own to each other one."""
        lengths = self._workers.gather(np.array([len(own)], np.int32))
        ends = np.cumsum(lengths, dtype=np.int64)
        chief = self._workers.is_chief
        whole = _new_array((int(ends[-1]), own.shape[1]), folder) if chief else own
        for start in range(0, int(lengths.max()), _ROWS):
            rows = self._workers.gather(own[start : start + _ROWS])
            if not chief:
                continue
            counts = np.clip(lengths - start, 0, _ROWS)
            parts = np.split(rows, np.cumsum(counts)[:-1])
            for first, part in zip(ends - lengths + start, parts, strict=True):
                whole[first : first + len(part)] = part
        return whole

    def _batches(self, paths: Sequence[str]) -> Iterable[Any]:
        """Yields batches of images, cut for the devices of this process."""
        if not len(paths):
            return
        dataset = self._pipelines.build(paths)
        if self._workers.count == 1:
            yield from self._strategy.experimental_distribute_dataset(dataset)
            return
        # A distributed iterator would ask the other processes whether they have any.
        for images in dataset:
            parts = tf.split(images, self._devices)
            yield self._strategy.experimental_distribute_values_from_function(
                lambda context, parts=parts: parts[
                    context.replica_id_in_sync_group % self._devices
                ]
            )


def _new_array(shape: tuple[int, int], folder: Path | None) -> npt.NDArray[np.float32]:
    if folder is None or 0 in shape:
        return np.empty(shape, np.float32)
    return array_on_disk(folder, shape)


class FixedFeatures:
    """Embeds with a backbone that does not train: its features are computed once.

    Args:
        extractor: Runs the model.
        folder: Keeps them for other runs with this backbone on these images; may be
            removed at any time. None keeps them in memory only.
    """

    def __init__(self, extractor: Extractor, folder: Path | None = None) -> None:
        self._extractor = extractor
        self._folder = folder
        self._known: dict[tuple[str, ...], npt.NDArray[np.float32]] = {}

        @tf.function(
            input_signature=[
                tf.TensorSpec((None, extractor.model.backbone.output_shape[-1]))
            ]
        )
        def embed(features: Any) -> Any:
            return extractor.model.embed(features)

        self._embed = embed

    def features(
        self, paths: Sequence[str], on_batch: Callable[[int], None] = lambda _: None
    ) -> npt.NDArray[np.float32]:
        """Returns the features of images; see `Extractor.features`."""
        key = tuple(paths)
        if key not in self._known:
            self._known[key] = self._read(paths, on_batch)
        return self._known[key]

    def _read(
        self, paths: Sequence[str], on_batch: Callable[[int], None]
    ) -> npt.NDArray[np.float32]:
        if self._folder is None:
            return self._extractor.features(paths, on_batch)
        file = self._folder / f"{self._extractor.digest(paths)}.npy"
        return kept_array(file, lambda: self._extractor.features(paths, on_batch))

    def unit_features(
        self, paths: Sequence[str], on_batch: Callable[[int], None] = lambda _: None
    ) -> npt.NDArray[np.float32]:
        """Returns the features at unit length; see `Extractor.unit_features`."""
        return unit_length(self.features(paths, on_batch))

    def embeddings(
        self, paths: Sequence[str], on_batch: Callable[[int], None] = lambda _: None
    ) -> npt.NDArray[np.float32]:
        """Returns whole embeddings of images; see `Extractor.embeddings`."""
        features = self.features(paths, on_batch)
        parts = [
            self._embed(features[start : start + _ROWS]).numpy()
            for start in range(0, len(features), _ROWS)
        ]
        return np.concatenate(parts)


class RunningFeatures:
    """Features that are gathered while training, from one pass over all images on.

    Attributes:
        values: The latest of each training image, float32 `(num_images, feature_dim)`;
            None before the first pass.
    """

    def __init__(self) -> None:
        self.values: npt.NDArray[np.float32] | None = None

    def or_first(
        self, extract: Callable[[], npt.NDArray[np.float32]]
    ) -> npt.NDArray[np.float32]:
        """Returns the features so far; those of a pass, the first time."""
        if self.values is None:
            self.values = extract()
        return self.values

    def keep(
        self, rows: npt.NDArray[np.int64], features: npt.NDArray[np.float32]
    ) -> None:
        """Takes over the features of some images, `(num_rows, feature_dim)`."""
        if self.values is not None:
            self.values[rows] = features
