"""tf.data pipelines from rows: which rows, in which order, is decided elsewhere."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from dce_tf.clustering import Division
from dce_tf.datasets import Images
from dce_tf.images import preprocessing
from dce_tf.images.augmentation import Augmentation, paper
from dce_tf.images.partial import Picture
from dce_tf.sampling import EpochPlan, Sampler, plan_epoch


@dataclasses.dataclass(frozen=True)
class Share:
    """The part of a batch that a process reads.

    Attributes:
        index: Which part, from 0.
        count: How many equal parts a batch has, one per process.
        pieces: Into how many equal batches the part is cut, one a device.
    """

    index: int = 0
    count: int = 1
    pieces: int = 1

    def of(self, batches: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Returns the part of each batch: of `(num_steps, batch, ...)`."""
        size = batches.shape[1] // self.count
        return batches[:, self.index * size : (self.index + 1) * size]


WHOLE = Share()


class PictureReader(Protocol):
    """Where the pictures of image files come from."""

    def keys(self, paths: Sequence[str]) -> npt.NDArray[Any]:
        """Returns what `picture` knows the files by, `(num_images,)`."""

    def picture(self, key: Any) -> Picture:
        """Returns the picture of a key, a scalar tensor."""


class FileReader:
    """Reads the files themselves, again each time."""

    def keys(self, paths: Sequence[str]) -> npt.NDArray[Any]:
        """Returns the paths as an array; see `PictureReader`."""
        return np.asarray(paths, object)

    def picture(self, key: Any) -> Picture:
        """Returns the picture in the file of that path."""
        return preprocessing.open_picture(tf.io.read_file(key))


class EvaluationPipelines:
    """Builds pipelines that read images in order, as evaluation sees them.

    Args:
        image_size: Side of the centre crop in pixels.
        batch_size: Images per batch.
        num_workers: Threads that read; 0 takes one a processor.
        reader: Where the pictures come from; by default the files.
    """

    def __init__(
        self,
        image_size: int,
        batch_size: int,
        num_workers: int = 0,
        reader: PictureReader | None = None,
    ) -> None:
        self._batch_size = batch_size
        self._num_workers = num_workers
        self._reader = reader or FileReader()

        # Traced once, for all pipelines.
        @tf.function(autograph=False)
        def read(key: Any) -> Any:
            return preprocessing.evaluation_image(self._reader.picture(key), image_size)

        self._read = read

    def build(self, paths: Sequence[str]) -> tf.data.Dataset:
        """Returns batches that are all full: the last image fills the last one.

        Args:
            paths: The image files.

        Returns:
            Data set of float32 `(batch_size, image_size, image_size, 3)`, 0 to 255.
        """
        keys = self._reader.keys(paths)
        fill = -len(keys) % self._batch_size
        padded = np.concatenate([keys, keys[-1:].repeat(fill)])
        return _batched(
            _from_arrays(padded), self._read, self._batch_size, self._num_workers
        )


class EpochBatches(NamedTuple):
    """What is left to train of an epoch.

    Attributes:
        dataset: `(images, labels, learner)`: what the network takes, float32 `(batch,
            …)`; int32 `(batch,)`; and int32 `(batch,)`, the same all over a batch. With
            a teacher the third part is a dictionary: `"learner"` and `"teacher"`, its
            embeddings of the images, float32 `(batch, teacher_dim)`.
        num_steps: How many batches.
        num_learners: How many learners take part.
        rows: Which images the process reads of each batch, int64 `(num_steps, …)`.
    """

    dataset: tf.data.Dataset
    num_steps: int
    num_learners: int
    rows: npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True, eq=False)
class EpochPlanner:
    """Draws the batches of an epoch in which the clusters take turns.

    Attributes:
        train: The training split.
        batch_size: Images per batch, over all replicas.
        samples_per_class: Images of one class in a batch, side by side.
        seed: With the epoch and the cluster, this decides the rows.
        sampler: Draws the batches of a cluster; by default `ClassBalanced`.
        cluster_batches: `"share"`, `"max"` or `"min"`: see `sampling.plan_epoch`.
        num_steps: Batches of each epoch, whatever the clusters; None for as many as
            `cluster_batches` says.
        max_steps: Batches of all epochs, which are of `num_steps` each; None for no
            end.
    """

    train: Images
    batch_size: int
    samples_per_class: int
    seed: int = 0
    sampler: Sampler | None = None
    cluster_batches: str = "share"
    num_steps: int | None = None
    max_steps: int | None = None

    def plan(self, division: Division, epoch: int) -> EpochPlan:
        """Returns the rows and the learner of each batch."""
        num_steps = self.num_steps
        if self.max_steps is not None and num_steps is not None:
            num_steps = min(num_steps, self.max_steps - epoch * num_steps)
        return plan_epoch(
            self.train.labels,
            division.assignment,
            division.num_clusters,
            batch_size=self.batch_size,
            samples_per_class=self.samples_per_class,
            seed=self.seed,
            epoch=epoch,
            cluster_batches=self.cluster_batches,
            sampler=self.sampler,
            groups=division.membership if division.groups is None else division.groups,
            super_classes=self.train.super_classes,
            class_means=division.class_means,
            num_steps=num_steps,
        )


@dataclasses.dataclass(frozen=True, eq=False)
class ClusterPipelines:
    """Builds the pipeline of an epoch from image files.

    Attributes:
        planner: Draws the batches.
        image_size: Side of the network's input in pixels.
        augmentation: What happens to training images; by default `paper()`.
        augment_on: `"cpu"` changes colours here, `"device"` leaves it to the trainer.
        num_workers: Threads that read; 0 takes one a processor.
        reader: Where the pictures come from; by default the files.
        share: The part of each batch to read; by default all.
        teacher: A teacher's embedding of each training image, float32 `(num_images,
            teacher_dim)`; None without one.
    """

    planner: EpochPlanner
    image_size: int
    augmentation: Augmentation = dataclasses.field(default_factory=paper)
    augment_on: str = "cpu"
    num_workers: int = 0
    reader: PictureReader = dataclasses.field(default_factory=FileReader)
    share: Share = WHOLE
    teacher: npt.NDArray[np.float32] | None = None

    def build(
        self, division: Division, epoch: int, first_step: int = 0
    ) -> EpochBatches:
        """Builds the batches of an epoch.

        Args:
            division: Which cluster each row belongs to.
            epoch: Number of the epoch, from 0.
            first_step: How many batches are done already.

        Returns:
            The rest, with images float32 `(batch, image_size, image_size, 3)`, 0 to
            255. The crops of a batch do not depend on where one begins.
        """
        arrays, rows = self._arrays(division, epoch, first_step)
        dataset = self._batches(_from_arrays(*arrays))
        return EpochBatches(dataset, len(rows), division.num_clusters, rows)

    def stream(self, upcoming: Callable[[], tuple[Division, int]]) -> tf.data.Dataset:
        """Builds one pipeline for all epochs, which looks up what to read as it begins.

        Args:
            upcoming: Called each time the pipeline is iterated; returns the division
                and the epoch, as for `build`.

        Returns:
            The dataset of `build`, with the planner's `num_steps` batches.
        """

        def epoch_arrays() -> Iterator[tuple[npt.NDArray[Any], ...]]:
            yield self._arrays(*upcoming())[0]

        key = tf.string if self._keys.dtype == object else self._keys.dtype
        shapes = (
            tf.TensorSpec((None,), key),
            tf.TensorSpec((None,), tf.int32),
            tf.TensorSpec((None,), tf.int32),
            tf.TensorSpec((None, 2), tf.int32),
            tf.TensorSpec((None,), tf.int64),
        )
        whole = tf.data.Dataset.from_generator(epoch_arrays, output_signature=shapes)
        # Only rows and seeds come through Python; images are read by TensorFlow.
        dataset = self._batches(whole.unbatch())
        count = self.planner.num_steps
        if count is None:
            raise ValueError("A stream needs a planner with `num_steps`; it has None.")
        return dataset.apply(tf.data.experimental.assert_cardinality(count))

    def _arrays(
        self, division: Division, epoch: int, first_step: int = 0
    ) -> tuple[tuple[npt.NDArray[Any], ...], npt.NDArray[np.int64]]:
        """Returns key, label, learner, seed and row of each image, and all rows."""
        plan = self.planner.plan(division, epoch)
        rng = np.random.default_rng([self.planner.seed, epoch])
        highest = np.iinfo(np.int32).max
        seeds = rng.integers(highest, size=(*plan.rows.shape, 2), dtype=np.int32)
        seeds = self.share.of(seeds[first_step:])
        rows = self.share.of(plan.rows[first_step:])
        arrays = (
            self._keys[rows.ravel()],
            self.planner.train.labels[rows.ravel()],
            np.repeat(plan.learner[first_step:], rows.shape[1]),
            seeds.reshape(-1, 2),
            rows.ravel(),
        )
        return arrays, rows

    def _batches(self, elements: tf.data.Dataset) -> tf.data.Dataset:
        size = self.planner.batch_size // self.share.count // self.share.pieces
        return _batched(
            elements, self._read, size, self.num_workers, finish=self._finish
        )

    @functools.cached_property
    def _keys(self) -> npt.NDArray[Any]:
        return self.reader.keys(self.planner.train.paths)

    @functools.cached_property
    def _read(self) -> Any:
        # Traced once, for the pipelines of all epochs.
        @tf.function(autograph=False)
        def read(key: Any, label: Any, learner: Any, seed: Any, row: Any) -> Any:
            picture = self.reader.picture(key)
            image = self.augmentation.crop(picture, self.image_size, seed)
            return image, label, learner, seed, row

        return read

    @functools.cached_property
    def _finish(self) -> Any:
        taught = _teaching(self.teacher, self.planner.train)

        @tf.function(autograph=False)
        def finish(batch: Any, labels: Any, learner: Any, seeds: Any, rows: Any) -> Any:
            if self.augment_on == "cpu":
                batch = self.augmentation.change_colours(batch, seeds[0])
            return batch, labels, taught(learner, rows)

        return finish


@dataclasses.dataclass(frozen=True, eq=False)
class FeaturePipelines:
    """Builds the pipeline of an epoch from features that never change.

    Attributes:
        planner: Draws the batches.
        features: Of each training image, float32 `(num_images, feature_dim)`.
        share: The part of each batch to read; by default all.
        teacher: See `ClusterPipelines`.
    """

    planner: EpochPlanner
    features: npt.NDArray[np.float32]
    share: Share = WHOLE
    teacher: npt.NDArray[np.float32] | None = None

    def build(
        self, division: Division, epoch: int, first_step: int = 0
    ) -> EpochBatches:
        """Builds the batches of an epoch; see `ClusterPipelines.build`."""
        plan = self.planner.plan(division, epoch)
        rows = self.share.of(plan.rows[first_step:])
        learners = np.repeat(plan.learner[first_step:, None], rows.shape[1], axis=1)
        size = rows.shape[1] // self.share.pieces
        elements = _from_arrays(
            *(
                array.reshape(-1, size)
                for array in (rows, self.planner.train.labels[rows], learners)
            )
        )
        # Made here, not in the graph of one epoch.
        table, taught = self._table, self._taught

        def read(rows: Any, labels: Any, learner: Any) -> Any:
            return tf.gather(table, rows), labels, taught(learner, rows)

        dataset = elements.map(read, 1, deterministic=True).prefetch(2)
        dataset = dataset.with_options(_options())
        return EpochBatches(dataset, len(rows), division.num_clusters, rows)

    @functools.cached_property
    def _table(self) -> Any:
        return _on_cpu(self.features)

    @functools.cached_property
    def _taught(self) -> Any:
        return _teaching(self.teacher, self.planner.train)


def _on_cpu(array: npt.NDArray[Any]) -> Any:
    with tf.device("CPU:0"):
        return tf.constant(array)


def _teaching(
    teacher: npt.NDArray[np.float32] | None, train: Images
) -> Callable[[Any, Any], Any]:
    """Returns what makes the third part of a batch, of its learner and its rows."""
    if teacher is not None and (teacher.ndim != 2 or len(teacher) != len(train)):
        raise ValueError(
            f"The teacher's embeddings are of shape {teacher.shape}; expected one row "
            f"for each of the {len(train)} training images, in their order."
        )
    table = None if teacher is None else _on_cpu(teacher)

    def third_part(learner: Any, rows: Any) -> Any:
        if table is None:
            return learner
        return {"learner": learner, "teacher": tf.gather(table, rows)}

    return third_part


def _from_arrays(*arrays: npt.NDArray[Any]) -> tf.data.Dataset:
    with tf.device("CPU:0"):
        return tf.data.Dataset.from_tensor_slices(
            arrays if len(arrays) > 1 else arrays[0]
        )


def _batched(
    elements: tf.data.Dataset,
    read: Any,
    batch_size: int,
    num_workers: int,
    finish: Any = None,
) -> tf.data.Dataset:
    threads = num_workers or os.cpu_count() or 1
    dataset = elements.map(read, threads, deterministic=True)
    dataset = dataset.batch(batch_size, drop_remainder=True)
    if finish is not None:
        dataset = dataset.map(finish, threads, deterministic=True)
    return dataset.prefetch(2).with_options(_options())


def _options() -> tf.data.Options:
    options = tf.data.Options()
    # The thread that tunes can miss the end of its pipeline, and then keeps whoever
    # drops the pipeline waiting for up to a minute.
    options.autotune.enabled = False
    # Nothing here is for them to better, and they take a quarter of the time that an
    # iterator takes to make.
    options.experimental_optimization.apply_default_optimizations = False
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.OFF
    )
    return options
