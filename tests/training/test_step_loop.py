import multiprocessing
import time

import numpy as np
import pytest
import tensorflow as tf

from dce_tf.images.augmentation import strong
from dce_tf.losses import LOSSES
from tests.slow import rest_is_slow
from tests.training.small import batches, fit, make_trainer, train_epoch, weights

# How far weights may lie apart that were computed in another order. Adam takes steps of
# one length where a gradient is little but rounding, too: on some processors 3e-4, of
# 0.2 that the weights have moved.
another_order = pytest.mark.parametrize(
    ("optimizer", "atol"), rest_is_slow([("sgd", 5e-5), ("adam", 3e-3)])
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_average_follows_on_two_devices_as_on_one(two_devices) -> None:
    one, two = (make_trainer(s, optimizer="sgd", ema=0.9) for s in (None, two_devices))
    for trainer in (one, two):
        fit(trainer)
    for a, b, weight in zip(
        one.average.variables, two.average.variables, one.loop.variables, strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=0, atol=5e-5)
        assert np.any(a.numpy() != weight.numpy())


@pytest.mark.slow
def test_colours_change_on_the_device_by_seed_and_step() -> None:
    def first_loss(seed: int, **options) -> float:
        trainer = make_trainer(seed=seed, **options)
        return fit(trainer, epochs=2, steps=1)[0]["loss"]

    plain = first_loss(0)
    changed = [first_loss(s, augmentation=strong()) for s in (0, 0, 1)]
    assert changed[0] == changed[1]
    assert len({plain, *changed}) == 3


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
    frozen = trainer.loop.calls[False, how != "not trainable", False]
    (concrete,) = frozen._list_all_concrete_functions()
    assert "Conv2D" in operations(concrete)
    assert "Conv2DBackpropFilter" not in operations(concrete)
    if how == "not trainable":
        return
    (concrete,) = trainer.loop.calls[False, False, False]._list_all_concrete_functions()
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
        train_epoch(trainer)
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
        logs = train_epoch(trainer)
    assert logs["seconds_data"] > 8 * 0.05 * 0.8


def _seconds_of_one_thread(queue: multiprocessing.Queue) -> None:
    tf.config.threading.set_inter_op_parallelism_threads(1)
    size = 64  # So that a step takes far longer than to hand over its images.
    trainer = make_trainer(size=size)
    for _ in ("traced", "timed"):
        trainer.set_data(batches(20, size=size), 20)
        logs = train_epoch(trainer)
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
