"""Metric losses in `compile` and `fit`, of our models and of anybody's."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from dce_tf.base.errors import UsageError
from dce_tf.evaluation.keras_metrics import RecallAtK
from dce_tf.losses import Space, build_loss
from dce_tf.losses.cross_batch_memory import CrossBatchMemory
from dce_tf.losses.margin import MarginLoss
from dce_tf.losses.proxy_anchor import ProxyAnchorLoss
from dce_tf.network.fitting import ModelWithLoss
from dce_tf.network.layers import DivideConquerEmbedding
from dce_tf.network.model import EmbeddingModel
from dce_tf.network.objective import Objective
from tests.slow import rest_is_slow

X = np.random.default_rng(0).normal(size=(32, 6)).astype(np.float32)
Y = np.random.default_rng(1).integers(0, 4, 32)
KEEPING = {
    "proxies": lambda: ProxyAnchorLoss(num_classes=4),
    "beta": lambda: MarginLoss(learn_beta="class", num_classes=4, miner="all"),
    "sum": lambda: build_loss("margin(learn_beta=one) + proxy_nca", Space(4), 4),
}


def ordinary() -> keras.Model:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6,))
    outputs = keras.layers.UnitNormalization()(keras.layers.Dense(4)(inputs))
    return keras.Model(inputs, outputs)


def embedding_model(parts: str = "slices", dropout: float = 0) -> EmbeddingModel:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6,))
    backbone = keras.Model(inputs, keras.layers.Dense(5, "relu")(inputs))
    layer = DivideConquerEmbedding(4, 2, parts=parts)
    model = EmbeddingModel(backbone, layer, dropout=dropout)
    model.build((None, 6))
    return model


MODELS = {"wrapped": lambda: ModelWithLoss(ordinary()), "ours": embedding_model}
models = pytest.mark.parametrize("kind", MODELS)


def fit(model: keras.Model, labels=Y, epochs: int = 1, **options) -> list[float]:
    options = {"batch_size": 8, "shuffle": False, "verbose": 0, **options}
    return model.fit(X, labels, epochs=epochs, **options).history["loss"]


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64", "float32"])
def test_any_labels_train_an_ordinary_model_alike(dtype: str) -> None:
    results = []
    for labels in (Y.astype(dtype), Y.astype(dtype)[:, None]):
        model = ordinary()
        model.compile(keras.optimizers.SGD(0.1), loss=MarginLoss())
        results.append(fit(model, labels, epochs=3))
    assert results[0] == results[1]
    assert results[0][-1] < results[0][0]


def test_a_saved_ordinary_model_goes_on_without_a_warning(tmp_path) -> None:
    model = ordinary()
    model.compile("adam", loss=MarginLoss(alpha=0.1, miner="all"))
    fit(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.loss.get_config() == model.loss.get_config()
    assert fit(loaded) == fit(model)


@pytest.mark.parametrize("loss", KEEPING)
def test_an_ordinary_model_refuses_a_loss_that_nobody_trains(loss: str) -> None:
    model = ordinary()
    model.compile("sgd", loss=KEEPING[loss]() if loss != "sum" else unbuilt_sum())
    with pytest.raises(ValueError, match=r"nobody trains them.*ModelWithLoss"):
        fit(model)


def unbuilt_sum():
    built = KEEPING["sum"]()
    return type(built).from_config(built.get_config())


@models
@pytest.mark.parametrize("loss", KEEPING)
def test_what_a_loss_keeps_is_trained(kind: str, loss: str) -> None:
    model = MODELS[kind]()
    model.compile(keras.optimizers.SGD(0.05), loss=unbuilt(loss))
    kept = model.metric_loss.trainable_variables
    before = [variable.numpy() for variable in kept]
    assert kept
    assert {id(v) for v in kept} <= {id(v) for v in model.trainable_variables}
    history = fit(model, epochs=8)
    assert history[-1] < history[0]
    for variable, value in zip(kept, before, strict=True):
        assert np.any(variable.numpy() != value)


def unbuilt(loss: str):
    return unbuilt_sum() if loss == "sum" else KEEPING[loss]()


@models
@pytest.mark.parametrize("loss", KEEPING)
def test_a_saved_model_goes_on_as_if_nothing_was(
    kind: str, loss: str, tmp_path
) -> None:
    model = MODELS[kind]()
    model.compile("adam", loss=unbuilt(loss), seed=3)
    fit(model, epochs=2)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    pairs = zip(model.variables, loaded.variables, strict=True)
    assert all(np.array_equal(a.numpy(), b.numpy()) for a, b in pairs)
    assert loaded.get_compile_config()["seed"] == 3
    bare = keras.models.load_model(tmp_path / "model.keras", compile=False)
    np.testing.assert_array_equal(bare(X), loaded(X))
    assert fit(loaded, epochs=2) == fit(model, epochs=2)


def test_compiling_again_keeps_what_the_loss_has_learned() -> None:
    model, loss = embedding_model(), ProxyAnchorLoss(num_classes=4)
    model.compile("sgd", loss=loss)
    fit(model)
    learned = loss.proxies.numpy()
    model.compile("sgd", loss=loss)
    np.testing.assert_array_equal(loss.proxies.numpy(), learned)
    model.compile("sgd", loss=MarginLoss())
    assert len(model.trainable_variables) == 4


def test_a_loss_of_another_space_is_refused() -> None:
    loss = ProxyAnchorLoss(num_classes=4)
    loss.build(Space(7))
    with pytest.raises(ValueError, match="embeddings of 7 numbers"):
        embedding_model().compile("sgd", loss=loss)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.eye(4)[Y], "argmax"),
        (Y + 0.5, "integer labels"),
        (Y + 2.0**24, "integer labels"),
        (Y + 1, "num_classes"),
    ],
)
@models
def test_fit_refuses_wrong_labels(kind: str, labels, message: str) -> None:
    model = MODELS[kind]()
    model.compile("sgd", loss=ProxyAnchorLoss(num_classes=4))
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match=message):
        fit(model, labels.astype(np.float32))


@models
def test_weights_of_samples_and_classes_are_refused(kind: str) -> None:
    for model in (MODELS[kind](), ordinary()):
        model.compile("sgd", loss=MarginLoss())
        for wrong in ({"sample_weight": np.ones(32)}, {"class_weight": {0: 2.0}}):
            with pytest.raises(ValueError, match="weight"):
                fit(model, **wrong)


@pytest.mark.slow
def test_validation_tells_a_loss_where_that_knows_other_classes() -> None:
    others = Y + 100
    model = embedding_model()
    model.compile("sgd", loss=MarginLoss(miner="all"))
    history = model.fit(X, Y, validation_data=(X, others), verbose=0).history
    expected = float(MarginLoss(miner="all")(others, model(X)))
    assert history["val_loss"] == pytest.approx([expected], rel=1e-5)
    model.compile("sgd", loss=ProxyAnchorLoss(num_classes=4))
    with pytest.raises(UsageError, match=r"RecallAtK"):
        model.fit(X, Y, validation_data=(X, others), verbose=0)


def test_validation_images_are_not_remembered() -> None:
    model, seen = embedding_model(), RecallAtK(1)
    model.compile("sgd", loss=CrossBatchMemory(size=8), metrics=[seen])
    fit(model)
    before = [v.numpy() for v in model.metric_loss.variables]
    model.evaluate(X, Y, verbose=0)
    for variable, value in zip(model.metric_loss.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def learners(*which: int) -> np.ndarray:
    return np.repeat(which, 8).astype(np.int32)


def batches(*which: int) -> tf.data.Dataset:
    arrays = (X[: 8 * len(which)], Y[: 8 * len(which)], learners(*which))
    return tf.data.Dataset.from_tensor_slices(arrays).batch(8)


def test_a_batch_of_a_learner_trains_its_part_alone() -> None:
    model = embedding_model()
    model.compile(keras.optimizers.SGD(0.1), loss=MarginLoss(miner="all"))
    before = model.embedding.kernel.numpy()
    loss = model.fit(batches(1), verbose=0, shuffle=False).history["loss"][0]
    changed = np.any(model.embedding.kernel.numpy() != before, axis=0)
    assert changed.tolist() == [False, False, True, True]
    part = embedding_model()(X[:8], learner=tf.constant(1))
    assert loss == pytest.approx(float(MarginLoss(miner="all")(Y[:8], part)), rel=1e-5)


def test_a_batch_of_several_learners_is_refused() -> None:
    model = embedding_model()
    model.compile("sgd", loss=MarginLoss())
    mixed = tf.data.Dataset.from_tensor_slices((X, Y, np.arange(32) % 2)).batch(8)
    with pytest.raises(tf.errors.InvalidArgumentError, match="cluster of one learner"):
        model.fit(mixed, verbose=0, shuffle=False)
    wrapped = ModelWithLoss(ordinary())
    wrapped.compile("sgd", loss=MarginLoss())
    with pytest.raises(ValueError, match="no learners"):
        wrapped.fit(batches(0), verbose=0, shuffle=False)


def test_wrong_ways_to_compile_say_so() -> None:
    with pytest.raises(UsageError, match=r"dce_tf.MarginLoss\(\).*'mse'"):
        embedding_model().compile("sgd", "mse")
    with pytest.raises(UsageError, match="parts='masks'"):
        embedding_model().compile("sgd", MarginLoss(), mask_penalty=0.1)
    model = embedding_model()
    model.compile("sgd")
    with pytest.raises(UsageError, match="compile"):
        fit(model)
    maps = ModelWithLoss(
        keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3)])
    )
    with pytest.raises(ValueError, match="known width"):
        maps.compile("sgd", MarginLoss())


@pytest.mark.parametrize("kind", rest_is_slow(MODELS))
@pytest.mark.parametrize("loss", ["margin(miner=all)", "proxy_anchor"])
def test_two_devices_train_as_one(two_devices, kind: str, loss: str) -> None:
    results = []
    for strategy in (tf.distribute.get_strategy(), two_devices):
        with strategy.scope():
            model = MODELS[kind]()
            made = build_loss(loss, model.space, 4)
            draw = np.random.default_rng(0)
            for variable in made.variables:
                variable.assign(draw.normal(size=variable.shape))
            model.compile(keras.optimizers.SGD(0.05), loss=made)
        results.append((fit(model, epochs=2), model.get_weights()))
    (one, weights), (two, others) = results
    assert one == pytest.approx(two, rel=1e-5)
    for a, b in zip(weights, others, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-4)


def test_float16_scales_the_loss_and_trains() -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = embedding_model()
        model.compile(keras.optimizers.SGD(0.05), loss=MarginLoss(miner="all"))
        history = fit(model, epochs=6)
    finally:
        keras.config.set_dtype_policy(before)
    assert type(model.optimizer).__name__ == "LossScaleOptimizer"
    assert history[-1] < history[0]


def test_regularizers_of_the_backbone_count() -> None:
    inputs = keras.Input((6,))
    strong = keras.layers.Dense(5, kernel_regularizer=keras.regularizers.L2(0.5))
    model = EmbeddingModel(
        keras.Model(inputs, strong(inputs)), DivideConquerEmbedding(4)
    )
    model.build((None, 6))
    expected = float(MarginLoss()(Y[:8], model(X[:8])))
    expected += 0.5 * float(np.sum(strong.kernel.numpy() ** 2))
    model.dropout.rate = 0
    model.compile("sgd", loss=MarginLoss())
    assert fit(model, steps_per_epoch=1)[0] == pytest.approx(expected, rel=1e-4)


def test_fit_trains_learner_and_whole_and_goes_on_after_loading(tmp_path) -> None:
    objective = Objective(train="learner+whole", teach=0.5)
    losses = []
    for given in (None, objective):
        model = embedding_model()
        loss = build_loss("contrastive", model.space, 4)
        model.compile(keras.optimizers.SGD(0.0), loss, objective=given)
        history = model.fit(batches(0, 1), shuffle=False, verbose=0).history
        losses += history["loss"]
    assert losses[1] > losses[0]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    stored = dataclasses.asdict(loaded._step.objective)
    assert stored == dataclasses.asdict(objective)
