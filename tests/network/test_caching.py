"""Large batches of which a part is computed at a time: the result is the same."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from dce_tf.base.errors import UsageError
from dce_tf.config import Config
from dce_tf.losses import LOSSES
from dce_tf.losses.multi_similarity import MultiSimilarityLoss
from dce_tf.network.caching import nearest_divisor
from dce_tf.network.fitting import ModelWithLoss
from dce_tf.network.layers import DivideConquerEmbedding
from dce_tf.network.model import EmbeddingModel
from dce_tf.network.objective import Objective
from dce_tf.runs.network import build_trainer
from dce_tf.runs.session import check_replicas
from tests.slow import rest_is_slow
from tests.training.small import BATCH, SIZE, backbone, fit, make_trainer, weights

# Sums in another order; Adam's first steps would make much of a gradient of nearly 0.
ATOL = 1e-5
QUIETLY = {"verbose": 0, "shuffle": False}
MINED = ["margin(miner=distance_weighted)", "multi_similarity", "proxy_anchor"]
OTHERS = [
    name if name != "cross_batch_memory" else f"{name}(miner=all, start=1, size=24)"
    for name in LOSSES
    if not any(mined.startswith(name) for mined in MINED)
]


def both(strategy: tf.distribute.Strategy | None = None, micro: int = 4, **options):
    """Trains twice, the whole batch at once and in parts."""
    options = {"optimizer": "sgd", **options}
    trainers = [
        make_trainer(strategy, micro_batch_size=size, **options) for size in (0, micro)
    ]
    before, sizes = weights(trainers[0]), [set(), set()]
    for trainer, seen in zip(trainers, sizes, strict=True):
        trainer.model.features = noting(trainer.model.features, seen)
    logs = [fit(trainer, epochs=3, steps=3) for trainer in trainers]
    own = BATCH // trainers[0].strategy.num_replicas_in_sync
    assert sizes == [{own}, {min(own, micro)}]
    return before, trainers, logs


def noting(features, seen: set[int]):
    def noted(images, training=False):
        seen.add(images.shape[0])
        return features(images, training=training)

    return noted


def assert_same(before, trainers, logs) -> None:
    """Compares by how far each variable has moved: sums were in another order."""
    for old, one, other in zip(before, *map(weights, trainers), strict=True):
        moved = np.abs(one - old).max()
        np.testing.assert_allclose(one, other, rtol=0, atol=ATOL + 0.01 * moved)
    assert np.abs(weights(trainers[0])[0] - before[0]).max() > 10 * ATOL
    losses = [[line["loss"] for line in lines] for lines in logs]
    np.testing.assert_allclose(*losses, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("loss", rest_is_slow([*MINED, *OTHERS], quick=len(MINED)))
def test_weights_are_those_of_the_whole_batch(loss: str) -> None:
    assert_same(*both(loss=loss))


@pytest.mark.parametrize("micro", [1, 8, 16, 64])
def test_any_size_of_parts_gives_the_same(micro: int) -> None:
    assert_same(*both(loss="multi_similarity", micro=micro))


@pytest.mark.parametrize(
    "options",
    rest_is_slow(
        [
            {"objective": Objective("learner+whole", teach=1.0), "dropout": 0.2},
            {"parts": "masks", "mask_penalty": 0.1, "optimizer": "adam"},
            {"isolated": True, "optimizer": "adamw", "ema": 0.9},
            {"jit": True},
        ]
    ),
    ids=str,
)
def test_other_ways_to_train_give_the_same(options: dict) -> None:
    assert_same(*both(loss="multi_similarity", **options))


@pytest.mark.slow
@pytest.mark.parametrize("mining", [True, False])
def test_two_devices_give_the_same(two_devices, mining: bool) -> None:
    options = {"loss": "multi_similarity", "global_mining": mining}
    assert_same(*both(two_devices, **options))


def test_a_backbone_that_does_not_train_stays() -> None:
    trainers = [
        make_trainer(loss="multi_similarity", optimizer="sgd", micro_batch_size=size)
        for size in (0, 4)
    ]
    first = trainers[0].model.backbone.get_weights()
    for trainer in trainers:
        layer = trainer.model.embedding
        trainer.loop.variables = [layer.kernel, layer.bias]
    before = weights(trainers[0])
    logs = [fit(trainer, epochs=3, steps=2) for trainer in trainers]
    assert_same(before, trainers, logs)
    for old, new in zip(first, trainers[1].model.backbone.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def embedding_model(**options) -> EmbeddingModel:
    keras.utils.set_random_seed(0)
    layer = DivideConquerEmbedding(8, 2)
    model = EmbeddingModel(backbone(), layer, dropout=0, **options)
    model.build((None, SIZE, SIZE, 3))
    return model


def data() -> tf.data.Dataset:
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (3 * BATCH, SIZE, SIZE, 3)).astype(np.float32)
    labels = rng.integers(0, 4, 3 * BATCH)
    return tf.data.Dataset.from_tensor_slices((images, labels))


def test_fit_takes_it_too_and_a_saved_model_keeps_it(tmp_path) -> None:
    results = []
    for size in (0, 4):
        model = embedding_model()
        model.compile("sgd", MultiSimilarityLoss(), micro_batch_size=size)
        model.fit(data().batch(BATCH, drop_remainder=True), **QUIETLY)
        results.append(model.get_weights())
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=ATOL)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.get_compile_config()["micro_batch_size"] == 4


def test_what_would_not_be_the_same_is_refused() -> None:
    loss = MultiSimilarityLoss()
    with pytest.raises(UsageError, match="freeze_batch_norm=True"):
        embedding_model(freeze_batch_norm=False).compile(
            "sgd", loss, micro_batch_size=4
        )
    with pytest.raises(UsageError, match="expected a number of images"):
        embedding_model().compile("sgd", loss, micro_batch_size=-4)
    with pytest.raises(UsageError, match="which must come out the same"):
        ModelWithLoss(backbone()).compile("sgd", loss, micro_batch_size=4)
    with pytest.raises(UsageError, match="--nofreeze_batch_norm"):
        Config(micro_batch_size=4, freeze_batch_norm=False)
    model = embedding_model()
    model.compile("sgd", loss, micro_batch_size=5)
    with pytest.raises(UsageError, match=r"divide the 16 images.*works is"):
        model.fit(data().batch(BATCH, drop_remainder=True), **QUIETLY)
    with pytest.raises(UsageError, match="drop_remainder=True"):
        model.fit(data().batch(BATCH), **QUIETLY)


def test_a_size_that_does_not_divide_a_batch_is_refused_before_the_run() -> None:
    config = Config(batch_size=80, micro_batch_size=12)
    with pytest.raises(UsageError, match=r"the 80 images.*--micro_batch_size=10"):
        check_replicas(config, 1)
    with pytest.raises(UsageError, match=r"each of 2 devices.*--micro_batch_size=10"):
        check_replicas(config, 2)
    for size in (16, 200):
        check_replicas(Config(batch_size=80, micro_batch_size=size), 1)


def test_the_flag_reaches_the_step() -> None:
    config = Config(backbone="small", image_size=32, micro_batch_size=4)
    trainer = build_trainer(config, np.full(4, 2), tf.distribute.get_strategy())
    assert trainer.loop.step.micro_batch_size == 4


def test_nearest_divisor() -> None:
    assert [nearest_divisor(12, size) for size in (1, 5, 11, 100)] == [1, 4, 12, 12]
