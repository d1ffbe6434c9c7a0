"""Where the batches of an epoch come from: images, or features that do not change."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from dce_tf.clustering import Division
from dce_tf.config import Config
from dce_tf.datasets import Images
from dce_tf.images.augmentation import AUGMENTATIONS
from dce_tf.reports.display import Display
from dce_tf.runs.mixing import build_sampler
from dce_tf.training.extractor import Extractor, FixedFeatures
from dce_tf.training.head_features import HeadFeatures
from dce_tf.training.pipelines import (
    ClusterPipelines,
    EpochBatches,
    EpochPlanner,
    FeaturePipelines,
    PictureReader,
    Share,
)
from dce_tf.training.schedule import Schedule, Stage

Builder = Callable[[Division, int, int], EpochBatches]


def batch_builder(
    config: Config,
    schedule: Schedule,
    train: Images,
    reader: PictureReader,
    runner: Extractor | FixedFeatures | HeadFeatures,
    share: Share,
    display: Display,
    teacher: npt.NDArray[np.float32] | None = None,
) -> Builder:
    """Returns what builds the batches of an epoch after its first steps.

    Args:
        config: The settings.
        schedule: Says which epochs train the head.
        train: The training images.
        reader: Where their pictures come from.
        runner: Has the features, where batches are of those.
        share: The part of each batch that this process reads.
        display: Where to tell how far their computation is.
        teacher: What a teacher makes of each training image, if there is one.
    """
    planner = EpochPlanner(
        train,
        batch_size=config.loss.batch_size,
        samples_per_class=config.loss.samples_per_class,
        seed=config.run.random_seed,
        sampler=build_sampler(config.loss, train),
        cluster_batches=config.division.cluster_batches,
        num_steps=config.division.steps_per_epoch,
        max_steps=config.division.max_steps,
    )

    @functools.cache
    def of_features() -> FeaturePipelines:
        with display.task("features for the head", len(train)) as update:
            features = runner.features(train.paths, lambda done: update(done, ""))
        return FeaturePipelines(planner, features, share, teacher)

    if isinstance(runner, FixedFeatures):
        return lambda *place: of_features().build(*place)
    pipelines = ClusterPipelines(
        planner,
        image_size=config.data.image_size,
        augmentation=AUGMENTATIONS.build(config.data.augmentation),
        augment_on=config.data.augment_on,
        num_workers=config.data.num_workers,
        reader=reader,
        share=share,
        teacher=teacher,
    )

    def build(division: Division, epoch: int, first_step: int) -> EpochBatches:
        if schedule.stage(epoch) is Stage.HEAD:
            return of_features().build(division, epoch, first_step)
        of_features.cache_clear()  # They are as large as the training set.
        return pipelines.build(division, epoch, first_step)

    return build
