import keras
import numpy as np
import pytest

from dce_tf.training import trainer as trainer_module
from dce_tf.training.rates import build_rates
from tests.training.small import (
    BATCH,
    LEARNERS,
    Watch,
    batches,
    fit,
    make_trainer,
    train_epoch,
    weights,
)


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


@pytest.mark.slow
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
    train_epoch(trainer)
    assert float(trainer.optimizer.learning_rate) == pytest.approx(0.5)


@pytest.mark.slow
def test_features_of_each_step_are_handed_over_with_their_rows(two_devices) -> None:
    found = []
    for strategy in (None, two_devices):
        seen: dict[int, np.ndarray] = {}

        def keep(rows: np.ndarray, features: np.ndarray, seen=seen) -> None:
            seen.update(zip(rows.tolist(), features, strict=True))

        trainer = make_trainer(strategy, keep_features=keep)
        rows = np.arange(3 * BATCH).reshape(3, BATCH)
        trainer.set_data(batches(3), 3, rows=rows)
        train_epoch(trainer)
        found.append(np.stack([seen[row] for row in range(3 * BATCH)]))
    first = next(iter(batches(3)))[0]
    expected = make_trainer().model.features(first)
    np.testing.assert_allclose(found[0][:BATCH], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-3, atol=1e-4)
