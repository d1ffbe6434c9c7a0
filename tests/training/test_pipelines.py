import gc
import operator
import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from dce_tf.clustering import Division, whole_division
from dce_tf.datasets import Images
from dce_tf.datasets.csv_index import read_csv
from dce_tf.images import preprocessing
from dce_tf.images.augmentation import none
from dce_tf.sampling import plan_epoch
from dce_tf.training.pipelines import (
    ClusterPipelines,
    EpochPlanner,
    EvaluationPipelines,
    FeaturePipelines,
    Share,
)
from tests import fakes
from tests.waiting import until


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Images:
    root = fakes.write_csv(tmp_path_factory.mktemp("data"), num_classes=6)
    return read_csv(str(root)).train


def make(train: Images, **settings) -> ClusterPipelines:
    planner = EpochPlanner(train, batch_size=8, samples_per_class=2)
    return ClusterPipelines(planner, image_size=16, **settings)


def evaluated(train: Images, count: int) -> tf.data.Dataset:
    return EvaluationPipelines(image_size=16, batch_size=3).build(train.paths[:count])


def halves(train: Images) -> Division:
    assignment = (train.labels >= 3).astype(np.int32)
    return Division(assignment, assignment, 2)


def read(path: str) -> np.ndarray:
    return preprocessing.evaluation_image(
        preprocessing.decode(tf.io.read_file(path)), 16
    ).numpy()


def test_evaluation_reads_in_order_and_fills_the_last_batch(train: Images) -> None:
    batches = list(evaluated(train, 7))
    assert [batch.shape[0] for batch in batches] == [3, 3, 3]
    flat = np.concatenate(batches)
    for got, path in zip(flat, [*train.paths[:7], *[train.paths[6]] * 2], strict=True):
        np.testing.assert_array_equal(got, read(path))


def test_features_of_all_epochs_are_read_from_one_table(train: Images) -> None:
    features = np.random.default_rng(0).normal(size=(len(train), 5)).astype(np.float32)
    planner = EpochPlanner(train, batch_size=8, samples_per_class=2)
    pipelines = FeaturePipelines(planner, features)
    tables = []
    for epoch in range(2):
        dataset, _, _, rows = pipelines.build(halves(train), epoch)
        tables.append(pipelines._table)
        for (batch, labels, _), own in zip(dataset, rows, strict=True):
            np.testing.assert_array_equal(batch, features[own])
            np.testing.assert_array_equal(labels, train.labels[own])
    assert tables[0] is tables[1]


def test_vectors_of_a_teacher_come_with_their_images(train: Images) -> None:
    teacher = np.random.default_rng(0).normal(size=(len(train), 5)).astype(np.float32)
    pipelines = make(train, augmentation=none(), teacher=teacher)
    dataset, steps, _, rows = pipelines.build(halves(train), epoch=1, first_step=1)
    plain = make(train, augmentation=none()).build(halves(train), 1, first_step=1)
    assert len(rows) == steps > 1
    for (batch, labels, third), other, own in zip(
        dataset, plain.dataset, rows, strict=True
    ):
        np.testing.assert_array_equal(third["teacher"], teacher[own])
        for one, same in zip((batch, labels, third["learner"]), other, strict=True):
            np.testing.assert_array_equal(one, same)
    with pytest.raises(ValueError, match=f"each of the {len(train)} training images"):
        make(train, teacher=teacher[1:]).build(halves(train), epoch=1)
    planner = EpochPlanner(train, batch_size=8, samples_per_class=2)
    half = FeaturePipelines(planner, teacher, Share(1, 2), teacher)
    dataset, _, _, rows = half.build(halves(train), epoch=0)
    for (features, _, third), own in zip(dataset, rows, strict=True):
        assert len(own) == 4
        np.testing.assert_array_equal(third["teacher"], teacher[own])
        np.testing.assert_array_equal(features, third["teacher"])


def test_training_batches_are_those_of_the_plan(train: Images) -> None:
    dataset, steps, learners, rows = make(train, augmentation=none()).build(
        halves(train), epoch=3
    )
    assert learners == 2
    plan = plan_epoch(
        train.labels,
        halves(train).assignment,
        2,
        batch_size=8,
        samples_per_class=2,
        seed=0,
        epoch=3,
    )
    batches = list(dataset)
    assert len(batches) == steps == len(plan.rows)
    np.testing.assert_array_equal(rows, plan.rows)
    for (pictures, labels, learner), rows, turn in zip(
        batches, plan.rows, plan.learner, strict=True
    ):
        np.testing.assert_array_equal(labels, train.labels[rows])
        np.testing.assert_array_equal(learner, np.full(8, turn))
        np.testing.assert_array_equal(pictures[5], read(train.paths[rows[5]]))


@pytest.mark.slow
def test_same_epoch_gives_the_same_crops_and_another_others(train: Images) -> None:
    # One image under every row: only the crops can differ.
    same = Images(train.paths[:1] * len(train), train.labels, train.class_names)

    def first(epoch: int) -> np.ndarray:
        dataset = make(same).build(whole_division(same.labels), epoch).dataset
        return next(iter(dataset))[0].numpy()

    np.testing.assert_array_equal(first(0), first(0))
    assert np.any(first(0) != first(1))


def test_pipelines_of_all_epochs_have_one_type(train: Images) -> None:
    # So that the step is not traced again.
    specs = {
        make(train).build(division, epoch).dataset.element_spec
        for epoch, division in enumerate((halves(train), whole_division(train.labels)))
    }
    assert len(specs) == 1


def test_pipelines_have_no_thread_that_tunes_them(train: Images) -> None:
    # One that misses the end of its pipeline makes whoever drops it wait for a minute.
    built = make(train).build(halves(train), 0).dataset
    evaluation = evaluated(train, 5)
    assert [d.options().autotune.enabled for d in (built, evaluation)] == [False] * 2


def handles() -> tuple[int, int]:
    files, threads = (Path("/proc/self", name).iterdir() for name in ("fd", "task"))
    return len(list(files)), len(list(threads))


def resident_megabytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux' /proc")
def test_rebuilding_leaves_nothing_behind(train: Images) -> None:
    # 100 rebuilds of 59,551 images: benchmarks/division.py.
    pipelines = make(train)

    def rebuild(epoch: int) -> None:
        next(iter(pipelines.build(halves(train), epoch).dataset))

    for epoch in range(10):
        rebuild(epoch)
    gc.collect()
    before, memory = handles(), resident_megabytes()
    for epoch in range(30):
        rebuild(epoch)
    gc.collect()
    # A thread that has ended is listed a while longer.
    until(lambda: all(map(operator.le, handles(), before)))
    assert resident_megabytes() - memory < 30
    assert pipelines._read.experimental_get_tracing_count() == 1
