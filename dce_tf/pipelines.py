"""tf.data pipelines from rows: which rows, in which order, is decided elsewhere."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from dce_tf import images
from dce_tf.augmentation import Augmentation, paper
from dce_tf.clustering import Division
from dce_tf.datasets import Images
from dce_tf.sampling import Sampler, plan_epoch


def evaluation_dataset(
    paths: Sequence[str], *, image_size: int, batch_size: int, num_workers: int = 0
) -> tf.data.Dataset:
    """Reads images in order, all batches full: the last image fills the last batch.

    Args:
        paths: The image files.
        image_size: Side of the centre crop in pixels.
        batch_size: Images a batch.
        num_workers: Threads that read; 0 takes one a processor.

    Returns:
        Data set of float32 `(batch_size, image_size, image_size, 3)`, 0 to 255.
    """
    fill = -len(paths) % batch_size
    padded = [*paths, *[paths[-1]] * fill]

    def read(path: Any) -> Any:
        return images.evaluation_image(images.decode(tf.io.read_file(path)), image_size)

    return _batched(
        _from_arrays(np.asarray(padded, object)), read, batch_size, num_workers
    )


@dataclasses.dataclass(frozen=True, eq=False)
class ClusterPipelines:
    """Builds the pipeline of an epoch in which the clusters take turns.

    Attributes:
        train: The training split.
        image_size: Side of the network's input in pixels.
        batch_size: Images a batch, over all replicas.
        samples_per_class: Images of one class in a batch, side by side.
        seed: With the epoch and the cluster, this decides the rows and the crops.
        augmentation: What happens to training images; by default `paper()`.
        augment_on: `"cpu"` changes colours here, `"device"` leaves it to the trainer.
        sampler: Draws the batches of a cluster; by default `ClassBalanced`.
        cluster_batches: `"max"` or `"min"`: see `sampling.plan_epoch`.
        num_workers: Threads that read; 0 takes one a processor.
    """

    train: Images
    image_size: int
    batch_size: int
    samples_per_class: int
    seed: int = 0
    augmentation: Augmentation = dataclasses.field(default_factory=paper)
    augment_on: str = "cpu"
    sampler: Sampler | None = None
    cluster_batches: str = "max"
    num_workers: int = 0

    def build(self, division: Division, epoch: int) -> tuple[tf.data.Dataset, int]:
        """Returns the epoch's batches and how many they are.

        Args:
            division: Which cluster each row belongs to.
            epoch: Number of the epoch, from 0.

        Returns:
            Data set of `(images, labels, learner)`, float32 `(batch, image_size,
            image_size, 3)` 0 to 255, int32 `(batch,)` and int32 `(batch,)`, the learner
            the same all over a batch; and its length.
        """
        plan = plan_epoch(
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
        )
        rows = plan.rows.ravel()
        learners = np.repeat(plan.learner, self.batch_size).astype(np.int32)
        elements = _from_arrays(rows, learners, self._crop_seeds(len(rows), epoch))
        paths = _strings(self.train.paths)
        labels = tf.constant(self.train.labels)

        def read(row: Any, learner: Any, seed: Any) -> tuple[Any, Any, Any, Any]:
            image = images.decode(tf.io.read_file(paths[row]))
            image = self.augmentation.crop(image, self.image_size, seed)
            return image, labels[row], learner, seed

        def finish(
            batch: Any, classes: Any, learner: Any, seeds: Any
        ) -> tuple[Any, Any, Any]:
            if self.augment_on == "cpu":
                batch = self.augmentation.change_colours(batch, seeds[0])
            return batch, classes, learner

        dataset = _batched(
            elements, read, self.batch_size, self.num_workers, finish=finish
        )
        return dataset, len(plan.rows)

    def _crop_seeds(self, count: int, epoch: int) -> npt.NDArray[np.int32]:
        rng = np.random.default_rng([self.seed, epoch])
        return rng.integers(np.iinfo(np.int32).max, size=(count, 2), dtype=np.int32)


def _strings(paths: Sequence[str]) -> Any:
    with tf.device("CPU:0"):
        return tf.constant(np.asarray(paths, object))


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
    dataset = dataset.prefetch(2)
    options = tf.data.Options()
    # The thread that tunes can miss the end of its pipeline, and then keeps whoever
    # drops the pipeline waiting for up to a minute.
    options.autotune.enabled = False
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.OFF
    )
    return dataset.with_options(options)
