"""What callbacks are told, and what becomes of what they log."""

import keras
import numpy as np
import pytest

from dce_tf.record import record_of
from dce_tf.training.callback_calls import flattened
from tests.training.small import LEARNERS, fit, make_trainer

Callback = keras.callbacks.Callback


class Log(Callback):
    """Logs a value at the end of each epoch."""

    def __init__(self, key: str, value: object) -> None:
        super().__init__()
        self.key, self.value = key, value

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        logs[self.key] = self.value


class Listen(Callback):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.ended, self.epochs, self.params_seen = [], [], [], []
        self.last = None

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.params_seen.append(dict(self.params))

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        self.begun.append(batch)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.ended.append((batch, dict(logs)))

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.epochs.append(dict(logs))

    def on_train_end(self, logs: dict | None = None) -> None:
        self.last = dict(logs)


def test_callbacks_get_numbers_only() -> None:
    listen = Listen()
    fit(make_trainer(), callbacks=[listen])
    told = [*(logs for _, logs in listen.ended), *listen.epochs, listen.last]
    assert listen.epochs[0]["loss"] > 0
    for logs in told:
        assert {type(value) for value in logs.values()} <= {int, float}
        assert all(isinstance(key, str) for key in logs)
    assert listen.last == listen.epochs[-1]


def test_stage_and_lists_are_in_the_record() -> None:
    seen = []

    class Look(Callback):
        def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
            record = record_of(self)
            assert record.logs is logs
            seen.append((record.epoch, record.stage, record.lists))

    fit(make_trainer(), callbacks=[Look()])
    assert [part[:2] for part in seen] == [
        (0, "divide"),
        (1, "divide"),
        (2, "full_embedding"),
        (3, "finetune"),
    ]
    assert len(seen[0][2]["learner_losses"]) == LEARNERS


def test_parameters_are_those_of_keras_and_the_record() -> None:
    listen = Listen()
    fit(make_trainer(), steps=3, callbacks=[listen])
    for params in listen.params_seen:
        assert (params["epochs"], params["steps"], params["verbose"]) == (4, 3, 1)
    assert [params["record"].epoch for params in listen.params_seen] == [0, 1, 2, 3]


def test_steps_are_told_before_and_after() -> None:
    listen = Listen()
    fit(make_trainer(pause_every=1), epochs=2, steps=3, callbacks=[listen])
    assert listen.begun == [0, 1, 2] * 2
    assert [batch for batch, _ in listen.ended] == [0, 1, 2] * 2


def test_later_callbacks_see_the_number_that_an_earlier_one_logged() -> None:
    listen = Listen()
    logs = fit(
        make_trainer(), epochs=2, callbacks=[Log("mine", np.float32(0.5)), listen]
    )
    assert type(listen.epochs[0]["mine"]) is float
    assert listen.epochs[0]["mine"] == 0.5
    assert "mine" not in logs[0]  # That one was called before.


def test_array_ends_the_training_with_its_key_and_the_callback() -> None:
    with pytest.raises(ValueError, match=r"Log logged 'mine': ndarray of shape \(2,\)"):
        fit(make_trainer(), callbacks=[Log("mine", np.zeros(2))])


@pytest.mark.parametrize("key", ["epoch", "stage", "evaluated_on", "cluster_sizes"])
def test_keys_of_the_record_are_refused(key: str) -> None:
    with pytest.raises(ValueError, match=f"Log logged '{key}', which the record"):
        fit(make_trainer(), callbacks=[Log(key, 1)])


def test_training_stops_within_an_epoch() -> None:
    class Stop(Callback):
        def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
            if batch >= 1:
                self.model.stop_training = True

    trainer, listen = make_trainer(pause_every=1), Listen()
    logs = fit(trainer, steps=5, callbacks=[Stop(), listen])
    assert trainer.step == logs[0]["steps"] == 2
    assert len(logs) == len(listen.epochs) == 1
    assert listen.last["steps"] == 2


def test_training_that_is_stopped_at_once_takes_one_step() -> None:
    # As in Keras; without any step there is no loss to tell.
    class Stop(Callback):
        def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
            self.model.stop_training = True

    trainer = make_trainer(pause_every=1)
    logs = fit(trainer, steps=5, callbacks=[Stop()])
    assert trainer.step == 1
    assert np.isfinite(logs[0]["loss"])


def test_list_of_callbacks_counts_as_those_in_it() -> None:
    first, second, third = Listen(), Log("mine", 1), Listen()
    inner = keras.callbacks.CallbackList([second, third])
    outer = keras.callbacks.CallbackList([inner])
    assert flattened([first, outer]) == [first, second, third]
    fit(make_trainer(), callbacks=[first, inner])
    assert third.epochs[0]["mine"] == 1
