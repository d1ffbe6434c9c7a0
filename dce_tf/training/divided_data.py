"""The batches of a divided training set, for `model.fit`."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from dce_tf.base.errors import UsageError
from dce_tf.clustering import Division, whole_division
from dce_tf.datasets import Images
from dce_tf.network.fitting import Way
from dce_tf.network.model import EmbeddingModel
from dce_tf.training.extractor import Extractor
from dce_tf.training.pipelines import ClusterPipelines, EpochPlanner
from dce_tf.training.schedule import Schedule
from dce_tf.training.workers import Workers


class DividedData:
    """What `Recluster` divides and `model.fit` iterates.

        data = DividedData(model, train, schedule, image_size=224, batch_size=80)
        recluster = Recluster(train.labels, schedule, data.features, data.deliver)
        model.fit(data.dataset, epochs=schedule.num_epochs, callbacks=[recluster])

    `dataset` looks up the division in force each time that an epoch begins, so `fit`
    keeps one dataset while `Recluster` changes what comes from it. Every epoch has the
    same number of batches, as Keras wants; the clusters share them.

    Args:
        model: What is trained; compiled before `fit`.
        train: The training images.
        schedule: Says which stage an epoch is; the `epochs` of `fit` are its
            `num_epochs`.
        image_size: Side of the network's input in pixels.
        batch_size: Images per batch, over all replicas.
        samples_per_class: Images of one class in a batch.
        num_steps: Batches per epoch; default: as many as the images fill.
        seed: Decides the batches and crops.
        **options: Of `ClusterPipelines`: augmentation, augment_on, num_workers, reader,
            and teacher, for a model that is compiled with a distillation.

    Raises:
        UsageError: If several processes train together: use `Trainer` for those.
        ValueError: If the images do not fill one batch.
    """

    def __init__(
        self,
        model: EmbeddingModel,
        train: Images,
        schedule: Schedule,
        *,
        image_size: int,
        batch_size: int,
        samples_per_class: int = 4,
        num_steps: int | None = None,
        seed: int = 0,
        **options: Any,
    ) -> None:
        strategy = model.distribute_strategy
        if Workers(strategy).count > 1:
            raise UsageError(
                "DividedData is for one process; several would each train on all "
                "images. Use dce_tf.training.trainer.Trainer, which shares them out."
            )
        num_steps = len(train) // batch_size if num_steps is None else num_steps
        if num_steps < 1:
            raise ValueError(
                f"{len(train)} images do not fill a batch of {batch_size}, and "
                f"num_steps is {num_steps}. Give a smaller batch_size, or num_steps."
            )
        planner = EpochPlanner(
            train, batch_size, samples_per_class, seed, num_steps=num_steps
        )
        self.pipelines = ClusterPipelines(planner, image_size, **options)
        self._model = model
        self._train = train
        self._schedule = schedule
        self._extractor = Extractor(
            model,
            image_size,
            strategy=strategy,
            reader=self.pipelines.reader,
            num_workers=self.pipelines.num_workers,
        )
        # Under a strategy, Keras looks at a batch before any callback is called.
        self._upcoming = (whole_division(train.labels), 0)

    @functools.cached_property
    def dataset(self) -> tf.data.Dataset:
        """`(images, labels, learner)` in batches; `num_steps` of them in each epoch.

        With a teacher the third part also has its embeddings; see `EpochBatches`.
        """
        return self.pipelines.stream(lambda: self._upcoming)

    def features(self) -> npt.NDArray[np.float32]:
        """Returns the features of all training images with the model as it is."""
        return self._extractor.features(self._train.paths)

    def deliver(self, division: Division, epoch: int) -> None:
        """Makes the next epoch one of this division, and of its stage."""
        self._upcoming = (division, epoch)
        whole = self._schedule.stage(epoch).whole_embedding
        some = not whole and division.num_clusters < self._model.space.num_learners
        self._model.train_as(
            Way(
                whole=whole,
                frozen=self._schedule.backbone_frozen(epoch),
                num_active=division.num_clusters if some else None,
            )
        )
