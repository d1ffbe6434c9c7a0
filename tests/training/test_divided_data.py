"""Divide and conquer by `model.fit` is what `Trainer` does."""

import itertools
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from dce_tf.clustering import whole_division
from dce_tf.datasets import Images
from dce_tf.datasets.folder import read_folder
from dce_tf.images.augmentation import strong
from dce_tf.losses import build_loss
from dce_tf.losses.contrastive_softmax import SupConLoss
from dce_tf.losses.margin import MarginLoss
from dce_tf.network.layers import DivideConquerEmbedding
from dce_tf.network.model import EmbeddingModel
from dce_tf.network.step import Step
from dce_tf.training.divided_data import DividedData
from dce_tf.training.extractor import Extractor
from dce_tf.training.optimizer import GroupedSGD, ParameterGroup
from dce_tf.training.pipelines import ClusterPipelines, EpochPlanner
from dce_tf.training.recluster import Recluster
from dce_tf.training.schedule import Schedule
from dce_tf.training.step_loop import StepLoop
from dce_tf.training.trainer import Trainer
from tests import fakes
from tests.training.small import backbone

SIZE, BATCH, STEPS, EPOCHS = 16, 8, 3, 5
SCHEDULE = Schedule(
    EPOCHS, 3, 4, recluster_every=2, num_clusters=2, freeze_backbone_epochs=1
)
LOSS = "margin(miner=distance_weighted) + 0.1*proxy_anchor"
RATE = 0.05


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Images:
    folder = tmp_path_factory.mktemp("images")
    fakes.write_folder(folder, num_classes=6, images_per_class=8)
    return read_folder(str(folder)).train


def make_model(parts: str = "slices") -> EmbeddingModel:
    keras.utils.set_random_seed(0)
    layer = DivideConquerEmbedding(8, 2, parts=parts)
    model = EmbeddingModel(backbone(SIZE), layer, dropout=0)
    model.build((None, SIZE, SIZE, 3))
    return model


def make_loss(model: EmbeddingModel, train: Images):
    keras.utils.set_random_seed(1)
    return build_loss(LOSS, model.space, len(train.class_names))


def fit(model: EmbeddingModel, train: Images, callbacks=(), **options) -> Recluster:
    data = DividedData(
        model, train, SCHEDULE, image_size=SIZE, batch_size=BATCH, num_steps=STEPS
    )
    recluster = Recluster(
        train.labels, SCHEDULE, data.features, data.deliver, **options
    )
    model.fit(
        data.dataset,
        epochs=EPOCHS,
        callbacks=[recluster, *callbacks],
        shuffle=False,
        verbose=0,
    )
    return recluster


def by_trainer(train: Images, parts: str, mask_penalty: float) -> tuple:
    model = make_model(parts)
    loss = make_loss(model, train)
    variables = [*model.trainable_variables, *loss.trainable_variables]
    optimizer = GroupedSGD([ParameterGroup(variables, RATE)], momentum=0.0)
    trainer = Trainer(
        StepLoop(model, Step(loss, optimizer, mask_penalty=mask_penalty), variables)
    )
    planner = EpochPlanner(train, BATCH, 4, num_steps=STEPS)
    pipelines = ClusterPipelines(planner, SIZE)
    extractor = Extractor(model, SIZE)
    recluster = Recluster(
        train.labels,
        SCHEDULE,
        lambda: extractor.features(train.paths),
        lambda division, epoch: trainer.set_data(*pipelines.build(division, epoch)),
    )
    losses = []
    noted = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda _, logs: losses.append(logs["loss"])
    )
    trainer.fit(SCHEDULE, [recluster, noted])
    return losses, [v.numpy() for v in (*model.variables, *loss.variables)]


@pytest.mark.slow
@pytest.mark.parametrize(("parts", "penalty"), [("slices", 0.0), ("masks", 0.1)])
def test_ends_where_the_trainer_ends(train: Images, parts: str, penalty: float) -> None:
    losses, expected = by_trainer(train, parts, penalty)
    model = make_model(parts)
    loss = make_loss(model, train)
    model.compile(keras.optimizers.SGD(RATE), loss, mask_penalty=penalty)
    before = [v.numpy() for v in model.variables]
    fit(model, train)
    assert model.history.history["loss"] == pytest.approx(losses, abs=1e-5)
    for got, value in zip(model.variables, expected, strict=True):
        np.testing.assert_allclose(got.numpy(), value, rtol=0, atol=1e-5)
    moved = [
        np.abs(v.numpy() - b).max()
        for v, b in zip(model.variables, before, strict=True)
    ]
    assert max(moved) > 1e-2
    ways = {**model._functions, model._way: model.train_function}
    # Divided, with the backbone frozen or not, and whole.
    assert len(ways) == 3


@pytest.mark.slow
def test_a_saved_model_goes_on_in_the_middle(train: Images, tmp_path: Path) -> None:
    def compiled() -> EmbeddingModel:
        model = make_model()
        model.compile(keras.optimizers.Adam(1e-3), make_loss(model, train))
        return model

    whole, cut = compiled(), compiled()
    fit(whole, train, folder=tmp_path)
    stop = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, _: setattr(cut, "stop_training", epoch == 1)
    )
    fit(cut, train, [stop])
    cut.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    data = DividedData(
        again, train, SCHEDULE, image_size=SIZE, batch_size=BATCH, num_steps=STEPS
    )
    recluster = Recluster(
        train.labels, SCHEDULE, data.features, data.deliver, folder=tmp_path
    )
    recluster.restore(2)
    again.fit(
        data.dataset,
        epochs=EPOCHS,
        initial_epoch=2,
        callbacks=[recluster],
        shuffle=False,
        verbose=0,
    )
    for a, b in zip(again.variables, whole.variables, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=0, atol=1e-5)


@pytest.mark.slow
def test_two_devices_end_where_one_does(train: Images, two_devices) -> None:
    results = []
    for strategy in (tf.distribute.get_strategy(), two_devices):
        with strategy.scope():
            model = make_model()
            # Smooth: a hinge would make much of what rounding does at its corner.
            model.compile(keras.optimizers.SGD(RATE), SupConLoss())
        division = fit(model, train).division
        results.append((division.membership, model.get_weights()))
    (divided, one), (again, two) = results
    np.testing.assert_array_equal(divided, again)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-4)


@pytest.mark.slow
def test_mixed_precision_trains(train: Images) -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = make_model()
        model.compile(keras.optimizers.Adam(1e-2), MarginLoss(miner="all"))
        fit(model, train)
    finally:
        keras.config.set_dtype_policy(before)
    losses = model.history.history["loss"]
    assert np.all(np.isfinite(losses))
    assert losses[2] < losses[0]


@pytest.mark.slow
def test_a_stream_has_the_batches_of_build_in_any_epoch(train: Images) -> None:
    planner = EpochPlanner(train, BATCH, 4, num_steps=7)
    pipelines = ClusterPipelines(planner, SIZE, augmentation=strong())
    division = whole_division(train.labels)
    upcoming = [(division, 0)]
    stream = pipelines.stream(lambda: upcoming[-1])
    assert int(stream.cardinality()) == 7
    for epoch in (0, 3):
        upcoming.append((division, epoch))
        built = pipelines.build(division, epoch)
        assert built.num_steps == 7
        for given, expected in zip(stream, built.dataset, strict=True):
            for a, b in zip(given, expected, strict=True):
                np.testing.assert_array_equal(a, b)


def test_features_are_read_by_as_many_threads_as_batches(train: Images) -> None:
    model = make_model()
    data = DividedData(
        model, train, SCHEDULE, batch_size=8, image_size=16, num_workers=3
    )
    assert data._extractor._pipelines._num_workers == data.pipelines.num_workers == 3


def test_too_few_images_say_so(train: Images) -> None:
    with pytest.raises(ValueError, match="smaller batch_size"):
        DividedData(make_model(), train, SCHEDULE, image_size=SIZE, batch_size=64)


@pytest.mark.slow
def test_head_comes_first_by_fit_too(train: Images) -> None:
    schedule = Schedule(3, 3, 3, num_clusters=2, head_epochs=1)
    model = make_model()
    model.compile(keras.optimizers.SGD(RATE), make_loss(model, train))
    data = DividedData(
        model, train, schedule, image_size=SIZE, batch_size=BATCH, num_steps=STEPS
    )
    recluster = Recluster(train.labels, schedule, data.features, data.deliver)
    ways, backbones = [], [model.backbone.get_weights()]

    def note(*_) -> None:
        ways.append(model._way)
        backbones.append(model.backbone.get_weights())

    callbacks = [recluster, keras.callbacks.LambdaCallback(on_epoch_end=note)]
    model.fit(data.dataset, epochs=3, callbacks=callbacks, shuffle=False, verbose=0)
    assert [(way.whole, way.frozen) for way in ways] == [
        (True, True),
        (False, False),
        (False, False),
    ]
    same = [
        all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
        for one, other in itertools.pairwise(backbones)
    ]
    assert same == [True, False, False]
