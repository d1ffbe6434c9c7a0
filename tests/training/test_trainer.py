import dataclasses
import json
import multiprocessing
import os
import signal
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from dce_tf.augmentation import strong
from dce_tf.layers import DivideConquerEmbedding
from dce_tf.losses import LOSSES, MetricLoss, Space, build_loss
from dce_tf.model import EmbeddingModel
from dce_tf.training import trainer as trainer_module
from dce_tf.training.averaging import WeightAverage
from dce_tf.training.optimizer import OPTIMIZERS, ParameterGroup
from dce_tf.training.progress import EpochProgress
from dce_tf.training.rates import build_rates
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
    strategy: tf.distribute.Strategy | None = None,
    loss: str = "margin(miner=all)",
    parts: str = "slices",
    optimizer: str = "adam",
    ema: float = 0,
    dropout: float = 0,
    **options,
) -> Trainer:
    strategy = strategy or tf.distribute.get_strategy()
    with strategy.scope():
        keras.utils.set_random_seed(0)
        layer = DivideConquerEmbedding(8, LEARNERS, parts=parts)
        model = EmbeddingModel(backbone(), layer, dropout=dropout)
        model.build((None, SIZE, SIZE, 3))
        space = Space(8, 4, LEARNERS, layer.learner_units, layer.part)
        built = build_loss(loss, space)
        groups = _groups(model, built, options.get("isolated", False))
        variables = [variable for group in groups for variable in group.variables]
        model.optimizer = OPTIMIZERS.build(optimizer, groups=groups)
        average = WeightAverage(variables, ema) if ema else None
    return Trainer(
        model,
        built,
        model.optimizer,
        variables,
        strategy=strategy,
        average=average,
        **options,
    )


def _groups(
    model: EmbeddingModel, loss: MetricLoss, isolated: bool
) -> list[ParameterGroup]:
    layer = model.embedding
    learners = LEARNERS if isolated else 1
    sliced = learners if layer.parts == "slices" else 1
    masks = [layer.masks] if layer.parts == "masks" else []
    proxies = [v for v in loss.trainable_variables if len(v.shape) == 2]
    groups = [
        ParameterGroup(model.backbone.trainable_variables, 1e-2, 1e-3),
        ParameterGroup([layer.kernel, layer.bias], 1e-2, 1e-3, num_parts=sliced),
        ParameterGroup(masks, 1e-2, num_parts=learners, axis=0),
        ParameterGroup(proxies, 1e-2, num_parts=sliced),
    ]
    return [group for group in groups if group.variables]


def batches(steps: int, seed: int = 0) -> tf.data.Dataset:
    rng = np.random.default_rng(seed)
    labels = np.tile(np.repeat(np.arange(4), 4), (steps, 1)).astype(np.int32)
    images = (
        rng.uniform(0, 200, (steps, BATCH, SIZE, SIZE, 3))
        + labels[..., None, None, None] * 10
    )
    learners = np.repeat(np.arange(steps) % LEARNERS, BATCH).reshape(steps, BATCH)
    arrays = images.astype(np.float32), labels, learners.astype(np.int32)
    options = tf.data.Options()
    options.autotune.enabled = False  # See pipelines.
    return tf.data.Dataset.from_tensor_slices(arrays).with_options(options)


class Deliver(keras.callbacks.Callback):
    """Hands over new data each epoch, and keeps what the epochs said."""

    def __init__(self, trainer: Trainer, steps: int = 5) -> None:
        super().__init__()
        self.trainer, self.steps, self.logs = trainer, steps, []

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.trainer.set_data(batches(self.steps, seed=epoch), self.steps)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.logs.append(dict(logs or {}))


def fit(
    trainer: Trainer, epochs: int = 4, steps: int = 5, callbacks=(), **schedule
) -> list[dict]:
    deliver = Deliver(trainer, steps)
    stages = Schedule(epochs, epochs - 2, epochs - 1, **schedule)
    trainer.fit(stages, [deliver, *callbacks])
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


# How far weights may lie apart that were computed in another order. Adam takes steps of
# one length where a gradient is little but rounding, too: on some processors 3e-4, of
# 0.2 that the weights have moved.
another_order = pytest.mark.parametrize(
    ("optimizer", "atol"), [("sgd", 5e-5), ("adam", 3e-3)]
)


@another_order
def test_two_devices_give_the_weights_of_one(
    two_devices, optimizer: str, atol: float
) -> None:
    one, two = (make_trainer(s, optimizer=optimizer) for s in (None, two_devices))
    logs = fit(one, steps=5), fit(two, steps=5)
    assert one.step == two.step == 20
    for a, b in zip(one.model.get_weights(), two.model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=atol)
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
    assert len(trainer.loop.calls) == 2
    for call in trainer.loop.calls.values():
        assert call.experimental_get_tracing_count() == 1


def test_same_seed_gives_the_same_weights() -> None:
    runs = [
        make_trainer(loss="margin(miner=distance_weighted)", seed=s, dropout=0.1)
        for s in (1, 1, 2)
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
    with pytest.raises(ValueError, match="became nan in epoch 0, step 0, learner 0"):
        fit(trainer)


@another_order
def test_jit_gives_the_same_result(optimizer: str, atol: float) -> None:
    plain, compiled = (
        make_trainer(optimizer=optimizer, jit=jit) for jit in (False, True)
    )
    for trainer in (plain, compiled):
        fit(trainer)
    for a, b in zip(
        plain.model.get_weights(), compiled.model.get_weights(), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=0, atol=atol)


def weights(trainer: Trainer) -> list[np.ndarray]:
    return [np.array(variable) for variable in trainer.loop.variables]


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in LOSSES if not n.startswith("tfa_")])
def test_any_loss_on_two_devices_gives_the_weights_of_one(
    two_devices, name: str
) -> None:
    # With a miner that keeps all, or chance in the last digit would pick other pairs.
    miner = "(miner=all)" if "miner" in LOSSES.options(name) else ""
    if name == "cross_batch_memory":
        miner = "(miner=all, start=1, size=24)"
    one, two = (make_trainer(s, f"{name}{miner}") for s in (None, two_devices))
    for trainer in (one, two):
        fit(trainer, epochs=3, steps=3)
    for a, b in zip(weights(one), weights(two), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-2, atol=2e-3)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("parts", ["slices", "masks"])
@pytest.mark.parametrize("loss", ["margin(miner=all)", "proxy_anchor"])
def test_isolated_learners_that_do_not_train_are_still_to_the_bit(
    optimizer: str, parts: str, loss: str
) -> None:
    penalty = 0.1 if parts == "masks" else 0.0
    trainer = make_trainer(
        loss=loss,
        parts=parts,
        optimizer=optimizer,
        isolated=True,
        mask_penalty=penalty,
    )
    fit(trainer, steps=2)  # So that the optimiser has momentum.
    before = rows_of_learners(trainer)
    trainer.set_data(batches(1, seed=9), 1)  # One batch, of learner 0.
    trainer._train_epoch(Schedule(9, 8, 8), [], {"epoch": 0})
    moved = np.any(rows_of_learners(trainer) != before, axis=1)
    assert moved.tolist() == [True, False]


def rows_of_learners(trainer: Trainer) -> np.ndarray:
    """Returns all that belongs to each learner alone, a row each."""
    layer = trainer.model.embedding
    if layer.masks is not None:
        return layer.masks.numpy()
    tables = [layer.kernel, layer.bias[None], *trainer.loss.trainable_variables]
    whole = np.concatenate([np.array(table) for table in tables])
    return whole.T.reshape(LEARNERS, -1)


def test_learners_that_are_not_isolated_drift() -> None:
    # What isolation is for: momentum and decay move them all.
    trainer = make_trainer()
    fit(trainer, steps=2)
    before = trainer.model.embedding.kernel.numpy()
    trainer.set_data(batches(1, seed=9), 1)
    trainer._train_epoch(Schedule(9, 8, 8), [], {"epoch": 0})
    moved = trainer.model.embedding.kernel.numpy() != before
    assert np.any(moved[:, 4:])


def test_masks_leave_when_the_whole_embedding_trains() -> None:
    trainer = make_trainer(parts="masks", mask_penalty=0.1)
    masks: list[np.ndarray] = []
    keep = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: masks.append(trainer.model.embedding.masks.numpy())
    )
    fit(trainer, epochs=5, callbacks=[keep])
    assert np.any(masks[0] != 1)
    assert np.any(masks[2] != masks[1])
    np.testing.assert_array_equal(masks[3], masks[2])
    np.testing.assert_array_equal(masks[4], masks[2])


def test_mask_penalty_drives_masks_apart() -> None:
    apart = []
    for weight in (0.0, 5.0):
        trainer = make_trainer(parts="masks", mask_penalty=weight)
        fit(trainer, epochs=10)
        apart.append(float(trainer.model.embedding.mask_penalty()))
    assert apart[1] < apart[0] - 0.05


def test_backbone_rests_in_the_epochs_that_freeze_it() -> None:
    trainer = make_trainer()
    kernels: list[tuple[np.ndarray, np.ndarray]] = []

    def keep(*_) -> None:
        model = trainer.model
        kernels.append(
            (model.backbone.layers[1].kernel.numpy(), model.embedding.kernel.numpy())
        )

    before = trainer.model.backbone.layers[1].kernel.numpy()
    fit(
        trainer,
        epochs=6,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=keep)],
        num_clusters=2,
        freeze_backbone_epochs=1,
    )
    changed = [
        np.any(kernel != old)
        for (kernel, _), old in zip(
            kernels, [before, *[k for k, _ in kernels]], strict=False
        )
    ]
    assert changed == [False, True, False, True, True, True]
    assert np.any(kernels[0][1] != kernels[1][1])
    assert len(trainer.loop.calls) == 3


def test_rates_follow_their_schedule_however_steps_are_cut_into_calls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    results = []
    for seconds in (1e-9, 1e9):
        monkeypatch.setattr(trainer_module, "CALL_SECONDS", seconds)
        trainer = make_trainer(rates=build_rates("cosine", 4, 1.5))
        fit(trainer, steps=13)
        assert float(trainer.optimizer.learning_rate) == pytest.approx(0, abs=1e-6)
        results.append(weights(trainer))
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


def test_rate_drops_with_the_first_step_of_its_epoch() -> None:
    trainer = make_trainer(rates=build_rates("step(epochs=2)", 4, 0))
    seen: dict[int, float] = {}

    def note(step: int) -> None:
        seen[step] = float(trainer.optimizer.learning_rate)

    trainer._pause_at = range(1, 13)
    fit(trainer, steps=3, callbacks=[Watch(trainer, note)])
    assert [seen[step] for step in range(1, 13)] == pytest.approx([1] * 6 + [0.1] * 6)


def test_first_step_of_a_warm_up_is_its_share() -> None:
    trainer = make_trainer(rates=build_rates("constant", 4, 2.0))
    trainer.set_data(batches(1), 1)
    trainer._train_epoch(Schedule(4, 2, 3), [], {"epoch": 0})
    assert float(trainer.optimizer.learning_rate) == pytest.approx(0.5)


def test_average_follows_on_two_devices_as_on_one(two_devices) -> None:
    one, two = (make_trainer(s, optimizer="sgd", ema=0.9) for s in (None, two_devices))
    for trainer in (one, two):
        fit(trainer)
    for a, b, weight in zip(
        one.average.variables, two.average.variables, one.loop.variables, strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=0, atol=5e-5)
        assert np.any(a.numpy() != weight.numpy())


def test_colours_change_on_the_device_by_seed_and_step() -> None:
    def first_loss(seed: int, **options) -> float:
        trainer = make_trainer(seed=seed, **options)
        return fit(trainer, epochs=2, steps=1)[0]["loss"]

    plain = first_loss(0)
    changed = [first_loss(s, augmentation=strong()) for s in (0, 0, 1)]
    assert changed[0] == changed[1]
    assert len({plain, *changed}) == 3


class Watch(keras.callbacks.Callback):
    """Notes where the trainer reported, and may do something there."""

    def __init__(self, trainer: Trainer, act=print) -> None:
        super().__init__()
        self.trainer, self.act, self.steps = trainer, act, []

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.steps.append(self.trainer.step)
        self.act(self.trainer.step)


def test_steps_pause_where_a_report_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer_module, "CALL_SECONDS", 1e9)
    trainer = make_trainer(pause_every=4, pause_at=(7, 13))
    watch = Watch(trainer)
    fit(trainer, epochs=2, steps=10, callbacks=[watch])
    assert watch.steps == [1, 4, 7, 8, 10, 11, 13, 14, 18, 20]


class DeliverRest(Deliver):
    """Hands over what the trainer does not say is done."""

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        done = self.trainer.first_step
        rest = batches(self.steps, seed=epoch).skip(done)
        self.trainer.set_data(rest, self.steps - done)


class StopError(Exception):
    pass


def test_epoch_is_gone_on_with_in_the_middle() -> None:
    whole, begun, ended = (make_trainer() for _ in range(3))
    expected = fit(whole, epochs=3, steps=9)

    def stop(step: int) -> None:
        if step == 13:
            raise StopError

    begun._pause_at = [13]
    with pytest.raises(StopError):
        fit(begun, epochs=3, steps=9, callbacks=[Watch(begun, stop)])
    assert begun.progress.steps == 4
    for trainer in (begun, ended):
        assert trainer.model.count_params() == whole.model.count_params()
    for a, b in zip(
        [*ended.model.variables, *ended.optimizer.variables],
        [*begun.model.variables, *begun.optimizer.variables],
        strict=True,
    ):
        a.assign(b)
    stored = json.loads(json.dumps(dataclasses.asdict(begun.progress)))
    ended.step, ended.progress = begun.step, EpochProgress(**stored)
    deliver = DeliverRest(ended, 9)
    ended.fit(Schedule(3, 1, 2), [deliver], first_epoch=1)
    assert ended.step == whole.step
    for one, other in zip(deliver.logs, expected[1:], strict=True):
        assert one["loss"] == other["loss"]
        assert one["steps"] == other["steps"] == 9
    for a, b in zip(weights(ended), weights(whole), strict=True):
        np.testing.assert_array_equal(a, b)


def test_request_to_stop_waits_for_the_step_and_is_told() -> None:
    trainer = make_trainer()
    told = []

    class Listen(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
            told.append(logs["stopping"])

    original = trainer._place

    def interrupted(*place):
        if trainer.step == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return original(*place)

    trainer._place = interrupted
    trainer._pause_at = [1, 2, 3]
    with pytest.raises(KeyboardInterrupt):
        fit(trainer, steps=9, callbacks=[Listen()])
    assert told == [False, False, False, True]
    assert trainer.step == trainer.progress.steps > 3


@pytest.mark.parametrize("when", [3, 9])
def test_request_to_stop_during_a_report_is_told_with_the_next(when: int) -> None:
    # Also where the epoch has no other step.
    trainer = make_trainer()
    told = []

    class Listen(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
            told.append(logs["stopping"])
            if trainer.step == when and not logs["stopping"]:
                os.kill(os.getpid(), signal.SIGTERM)

    trainer._pause_at = [3]
    with pytest.raises(KeyboardInterrupt):
        fit(trainer, steps=9, callbacks=[Listen()])
    assert told[-2:] == [False, True]
    assert told.count(True) == 1
    assert trainer.step == trainer.progress.steps
    assert trainer.step > when or when == 9


def test_epoch_whose_steps_are_all_done_is_gone_on_with_too() -> None:
    trainer = make_trainer()
    progress = EpochProgress({}, 9, [3.0, 2.0], [5.0, 4.0], 144, 1.0, 2.0)
    trainer.step, trainer.progress = 9, progress
    deliver = DeliverRest(trainer, 9)
    trainer.fit(Schedule(1, 1, 1), [deliver])
    assert trainer.step == 9
    assert deliver.logs[0]["loss"] == pytest.approx(5 / 9)
    assert deliver.logs[0]["images_per_second"] == pytest.approx(48)


def test_speed_of_an_epoch_that_is_gone_on_with_is_of_all_its_steps() -> None:
    trainer = make_trainer()
    seen = []

    class Listen(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
            seen.append(logs["images_per_second"])

    # A million images in a million seconds: the one step to come changes nothing.
    progress = EpochProgress({}, 8, [3.0, 2.0], [4.0, 4.0], 10**6, 0.0, 1e6)
    trainer.step, trainer.progress = 8, progress
    trainer.fit(Schedule(1, 1, 1), [DeliverRest(trainer, 9), Listen()])
    assert seen == pytest.approx([1], rel=1e-3)


def test_features_of_each_step_are_handed_over_with_their_rows(two_devices) -> None:
    found = []
    for strategy in (None, two_devices):
        seen: dict[int, np.ndarray] = {}

        def keep(rows: np.ndarray, features: np.ndarray, seen=seen) -> None:
            seen.update(zip(rows.tolist(), features, strict=True))

        trainer = make_trainer(strategy, keep_features=keep)
        rows = np.arange(3 * BATCH).reshape(3, BATCH)
        trainer.set_data(batches(3), 3, rows=rows)
        trainer._train_epoch(Schedule(4, 2, 3), [], {"epoch": 0})
        found.append(np.stack([seen[row] for row in range(3 * BATCH)]))
    first = next(iter(batches(3)))[0]
    expected = make_trainer().model.features(first)
    np.testing.assert_allclose(found[0][:BATCH], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-3, atol=1e-4)


def operations(function: tf.types.experimental.ConcreteFunction) -> set[str]:
    graph = function.graph.as_graph_def()
    nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
    return {node.op for node in nodes}


@pytest.mark.parametrize("how", ["frozen for an epoch", "not trainable"])
def test_frozen_backbone_has_no_backward_pass(how: str) -> None:
    trainer = make_trainer()
    schedule = {"num_clusters": 2, "freeze_backbone_epochs": 1}
    if how == "not trainable":
        trainer.model.backbone.trainable = False
        layer = trainer.model.embedding
        trainer.loop.variables = [layer.kernel, layer.bias]
        schedule = {}
    fit(trainer, **schedule)
    frozen = trainer.loop.calls[False, how != "not trainable"]
    (concrete,) = frozen._list_all_concrete_functions()
    assert "Conv2D" in operations(concrete)
    assert "Conv2DBackpropFilter" not in operations(concrete)
    if how == "not trainable":
        return
    (concrete,) = trainer.loop.calls[False, False]._list_all_concrete_functions()
    assert "Conv2DBackpropFilter" in operations(concrete)


def test_features_train_the_embedding_as_their_images_do() -> None:
    on_images, on_features = make_trainer(), make_trainer(on_features=True)
    for trainer in (on_images, on_features):
        layer = trainer.model.embedding
        trainer.loop.variables = [layer.kernel, layer.bias]
    features = on_features.model.features
    on_images.set_data(batches(5), 5)
    on_features.set_data(batches(5).map(lambda x, y, k: (features(x), y, k)), 5)
    for trainer in (on_images, on_features):
        trainer._train_epoch(Schedule(4, 2, 3), [], {"epoch": 0})
    for a, b in zip(
        on_images.model.embedding.get_weights(),
        on_features.model.embedding.get_weights(),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_waiting_for_data_is_told_apart_from_the_steps() -> None:
    def slow(*batch):
        return tf.py_function(
            lambda *x: time.sleep(0.05) or x, batch, [t.dtype for t in batch]
        )

    def shaped(*batch):
        for part, spec in zip(batch, batches(1).element_spec, strict=True):
            part.set_shape(spec.shape)
        return batch

    trainer = make_trainer()
    for dataset in (batches(8), batches(8).map(slow).map(shaped)):
        trainer.set_data(dataset, 8)
        logs = {"epoch": 0}
        trainer._train_epoch(Schedule(4, 2, 3), [], logs)
    assert logs["seconds_data"] > 8 * 0.05 * 0.8


def _seconds_of_one_thread(queue: multiprocessing.Queue) -> None:
    global SIZE
    SIZE = 64  # So that a step takes far longer than to hand over its images.
    tf.config.threading.set_inter_op_parallelism_threads(1)
    trainer = make_trainer()
    for _ in ("traced", "timed"):
        trainer.set_data(batches(20), 20)
        logs = {"epoch": 0}
        trainer._train_epoch(Schedule(4, 2, 3), [], logs)
    queue.put((logs["seconds_data"], logs["seconds_step"]))


@pytest.mark.slow
def test_one_thread_tells_waiting_apart_too() -> None:
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_seconds_of_one_thread, args=(queue,))
    process.start()
    waiting, steps = queue.get(timeout=120)
    process.join()
    assert waiting < steps
