import keras
import numpy as np
import pytest
import tensorflow as tf

from dce_tf.layers import DivideConquerEmbedding
from dce_tf.losses.margin import MarginLoss
from dce_tf.model import EmbeddingModel
from dce_tf.training import trainer as trainer_module
from dce_tf.training.optimizer import GroupedAdam, ParameterGroup
from dce_tf.training.schedule import Schedule
from dce_tf.training.trainer import Trainer

BATCH, SIZE, LEARNERS = 16, 8, 2


def backbone() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(8, 3),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
        ]
    )


def make_trainer(
    strategy: tf.distribute.Strategy | None = None, policy: str = "float32", **options
) -> Trainer:
    strategy = strategy or tf.distribute.get_strategy()
    with strategy.scope():
        keras.utils.set_random_seed(0)
        model = EmbeddingModel(
            backbone(),
            DivideConquerEmbedding(8, LEARNERS),
            dropout=options.pop("dropout", 0),
        )
        model.build((None, SIZE, SIZE, 3))
        variables = model.trainable_variables
        optimizer = GroupedAdam([ParameterGroup(variables, 1e-2, 1e-3)])
    model.optimizer = optimizer
    loss = MarginLoss(miner=options.pop("miner", "all"))
    return Trainer(model, loss, optimizer, variables, strategy=strategy, **options)


def batches(steps: int, seed: int = 0) -> tf.data.Dataset:
    rng = np.random.default_rng(seed)
    labels = np.tile(np.repeat(np.arange(4), 4), (steps, 1)).astype(np.int32)
    images = (
        rng.uniform(0, 200, (steps, BATCH, SIZE, SIZE, 3))
        + labels[..., None, None, None] * 10
    )
    learners = np.repeat(np.arange(steps) % LEARNERS, BATCH).reshape(steps, BATCH)
    arrays = images.astype(np.float32), labels, learners.astype(np.int32)
    return tf.data.Dataset.from_tensor_slices(arrays)


class Deliver(keras.callbacks.Callback):
    """Hands over new data each epoch, and keeps what the epochs said."""

    def __init__(self, trainer: Trainer, steps: int = 5) -> None:
        super().__init__()
        self.trainer, self.steps, self.logs = trainer, steps, []

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.trainer.set_data(batches(self.steps, seed=epoch), self.steps)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.logs.append(dict(logs or {}))


def fit(trainer: Trainer, epochs: int = 4, steps: int = 5, callbacks=()) -> list[dict]:
    deliver = Deliver(trainer, steps)
    trainer.fit(Schedule(epochs, epochs - 2, epochs - 1), [deliver, *callbacks])
    return deliver.logs


def test_loss_falls_through_all_stages() -> None:
    logs = fit(make_trainer(), epochs=8)
    assert [entry["stage"] for entry in logs][-3:] == [
        "divide",
        "full_embedding",
        "finetune",
    ]
    assert logs[5]["loss"] < logs[0]["loss"]
    assert logs[0]["steps"] == 5
    assert logs[0]["images_per_second"] > 0


def test_loss_of_each_learner_is_told_apart() -> None:
    logs = fit(make_trainer())
    losses = logs[0]["learner_losses"]
    assert len(losses) == LEARNERS
    assert losses[0] != losses[1]
    weighted = (3 * losses[0] + 2 * losses[1]) / 5
    assert logs[0]["loss"] == pytest.approx(weighted, rel=1e-5)
    assert "learner_losses" not in logs[-1]


def test_two_devices_give_the_weights_of_one(two_devices) -> None:
    one, two = make_trainer(), make_trainer(two_devices)
    logs = fit(one, steps=5), fit(two, steps=5)
    assert one.step == two.step == 20
    for a, b in zip(one.model.get_weights(), two.model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-5)
    assert logs[0][-1]["loss"] == pytest.approx(logs[1][-1]["loss"], rel=1e-3)


def test_replica_mining_sees_only_its_own_part(two_devices) -> None:
    whole = fit(make_trainer(two_devices), epochs=2, steps=1)
    parts = fit(make_trainer(two_devices, global_mining=False), epochs=2, steps=1)
    assert whole[0]["loss"] != pytest.approx(parts[0]["loss"], rel=1e-4)


def test_steps_are_traced_twice_in_a_whole_schedule() -> None:
    trainer = make_trainer()
    traces = []
    original = trainer.loss.call

    def counting(*args, **kwargs):
        traces.append(1)
        return original(*args, **kwargs)

    trainer.loss.call = counting
    fit(trainer, epochs=6, steps=7)
    # AutoGraph may run a loop's body more than once for one trace.
    first = len(traces)
    fit(trainer, epochs=6, steps=3)
    assert len(traces) == first
    assert len(trainer._calls) == 2
    for call in trainer._calls.values():
        assert call.experimental_get_tracing_count() == 1


def test_same_seed_gives_the_same_weights() -> None:
    runs = [
        make_trainer(miner="distance_weighted", seed=s, dropout=0.1) for s in (1, 1, 2)
    ]
    for trainer in runs:
        fit(trainer)
    weights = [trainer.model.embedding.get_weights()[0] for trainer in runs]
    np.testing.assert_array_equal(weights[0], weights[1])
    assert np.any(weights[0] != weights[2])


def test_batch_norm_statistics_stay_but_its_scale_trains() -> None:
    trainer = make_trainer()
    norm = trainer.model.backbone.layers[2]
    before = [np.array(v) for v in norm.variables]
    fit(trainer)
    moved = {
        v.name: np.any(v.numpy() != b)
        for v, b in zip(norm.variables, before, strict=True)
    }
    assert moved == {
        "gamma": True,
        "beta": True,
        "moving_mean": False,
        "moving_variance": False,
    }


def test_result_does_not_depend_on_how_steps_are_cut_into_calls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # How many fit into a call is a matter of time, and so of chance.
    logs = []
    for seconds in (1e-9, 1e9):
        monkeypatch.setattr(trainer_module, "CALL_SECONDS", seconds)
        logs.append(fit(make_trainer(), epochs=3, steps=40))
    for one, other in zip(*logs, strict=True):
        assert one["loss"] == other["loss"]
        assert one.get("learner_losses") == other.get("learner_losses")


def test_users_callback_can_stop_the_training() -> None:
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
            self.model.stop_training = epoch == 1

    assert len(fit(make_trainer(), epochs=6, callbacks=[Stop()])) == 2


def test_keras_callback_can_change_the_rate() -> None:
    trainer = make_trainer()
    halve = keras.callbacks.LearningRateScheduler(lambda _, rate: rate / 2)
    fit(trainer, callbacks=[halve])
    assert float(trainer.optimizer.learning_rate) == pytest.approx(1 / 16)


def test_loss_that_is_not_finite_stops_with_the_step() -> None:
    trainer = make_trainer()
    kernel = trainer.model.embedding.kernel
    kernel.assign(kernel * np.nan)
    with pytest.raises(ValueError, match="became nan in epoch 0, at or before step 1"):
        fit(trainer)


def test_jit_gives_the_same_result() -> None:
    plain, compiled = make_trainer(), make_trainer(jit=True)
    for trainer in (plain, compiled):
        fit(trainer)
    for a, b in zip(
        plain.model.get_weights(), compiled.model.get_weights(), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
