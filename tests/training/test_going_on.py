import dataclasses
import json
import os
import signal

import keras
import numpy as np
import pytest

from dce_tf.training import trainer as trainer_module
from dce_tf.training.progress import EpochProgress
from dce_tf.training.schedule import Schedule
from tests.training.small import (
    Deliver,
    Watch,
    batches,
    fit,
    make_trainer,
    weights,
)


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


@pytest.mark.slow
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
            told.append(trainer.stopping)

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
            told.append(trainer.stopping)
            if trainer.step == when and not trainer.stopping:
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


def test_epoch_that_an_earlier_version_began_is_gone_on_with() -> None:
    # Its logs had texts, lists and null.
    begun = {"epoch": 0, "stage": "divide", "kept": None, "seconds_division": 2.0}
    logs = {**begun, "cluster_sizes": [5, 3], "lone_images": 1}
    trainer = make_trainer()
    progress = EpochProgress(logs, 8, [3.0, 2.0], [4.0, 4.0], 128, 1.0, 2.0)
    trainer.step, trainer.progress = 8, progress
    deliver = DeliverRest(trainer, 9)
    trainer.fit(Schedule(1, 1, 1), [deliver])
    line = deliver.logs[0]
    assert (line["cluster_sizes"], line["lone_images"]) == ([5, 3], 1)
    assert "kept" not in line
    assert line["seconds_division"] == 2
