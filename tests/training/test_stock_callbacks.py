"""Every callback that Keras ships, in `Trainer.fit`."""

import csv
import http.server
import inspect
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from dce_tf.network.step import Step
from dce_tf.training.averaging import WeightAverage
from dce_tf.training.rates import build_rates
from dce_tf.training.schedule import Schedule
from dce_tf.training.step_loop import StepLoop
from dce_tf.training.stock_callbacks import check_callbacks
from dce_tf.training.trainer import Trainer
from tests.reports.test_tensorboard import events
from tests.training.small import Deliver, make_trainer, weights

stock = keras.callbacks


def fit(
    trainer: Trainer, callbacks: Sequence[object], epochs: int = 3, steps: int = 5
) -> list[dict]:
    deliver = Deliver(trainer, steps)
    trainer.fit(Schedule(epochs, 0, 0), [deliver, *callbacks])
    return deliver.logs


@pytest.fixture
def server() -> Iterator[tuple[str, list[dict]]]:
    """A server on this machine, and the JSON that was sent to it."""
    received: list[dict] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append(json.loads(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}", received
        listening.shutdown()
        thread.join()


def model_checkpoint(folder: Path) -> None:
    pattern = str(folder / "{epoch:02d}-{loss:.3f}.keras")
    best = str(folder / "best.weights.h5")
    trainer = make_trainer()
    fit(
        trainer,
        [
            stock.ModelCheckpoint(pattern, save_freq="epoch"),
            stock.ModelCheckpoint(
                best, monitor="loss", save_best_only=True, save_weights_only=True
            ),
            stock.ModelCheckpoint(str(folder / "step-{batch}.keras"), save_freq=5),
        ],
    )
    files = sorted(path.name[:2] for path in folder.glob("0*.keras"))
    assert files == ["01", "02", "03"]
    (last,) = folder.glob("03-*.keras")
    again = keras.models.load_model(last, compile=False)
    for a, b in zip(again.weights, trainer.model.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    trainer.model.load_weights(best)
    assert (folder / "step-5.keras").is_file()


def tensorboard(folder: Path) -> None:
    callback = stock.TensorBoard(
        folder, histogram_freq=1, update_freq="batch", write_steps_per_second=True
    )
    fit(make_trainer(pause_every=1), [callback], epochs=3, steps=2)
    found = events(folder / "train")
    assert [step for step, _, _ in found["epoch_loss"]] == [0, 1, 2]
    assert len(found["batch_loss"]) == 6
    assert "epoch_learning_rate" in found
    assert any("kernel" in tag for tag in found)


def early_stopping(_: Path) -> None:
    trainer = make_trainer()
    callback = stock.EarlyStopping(
        "loss", min_delta=1e9, patience=2, restore_best_weights=True
    )
    logs = fit(trainer, [callback], epochs=6)
    assert len(logs) == 3
    for a, b in zip(trainer.model.get_weights(), callback.best_weights, strict=True):
        np.testing.assert_array_equal(a, b)


def reduce_lr_on_plateau(_: Path) -> None:
    trainer = make_trainer()
    callback = stock.ReduceLROnPlateau("loss", 0.5, patience=1, min_delta=1e9)
    fit(trainer, [callback], epochs=4)
    assert float(trainer.optimizer.learning_rate) == 0.5**3


def learning_rate_scheduler(_: Path) -> None:
    seen = stock.History()
    trainer = make_trainer()
    callback = stock.LearningRateScheduler(lambda _, rate: rate / 2)
    fit(trainer, [callback, seen])
    assert seen.history["learning_rate"] == [0.5, 0.25, 0.125]
    still = make_trainer()
    before = weights(still)
    fit(still, [stock.LearningRateScheduler(lambda _: 0.0)])
    for a, b in zip(weights(still), before, strict=True):
        np.testing.assert_array_equal(a, b)


def csv_logger(folder: Path) -> None:
    fit(make_trainer(), [stock.CSVLogger(folder / "log.csv")])
    with (folder / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    assert all(float(row["loss"]) > 0 for row in rows)


def lambda_callback(_: Path) -> None:
    called = []

    def note(name: str) -> Callable[..., None]:
        return lambda *_, **__: called.append(name)

    names = [
        name
        for name in inspect.signature(stock.LambdaCallback).parameters
        if name.startswith("on_")
    ]
    callback = stock.LambdaCallback(**{name: note(name) for name in names})
    fit(make_trainer(pause_every=1), [callback], epochs=1, steps=1)
    assert called == [
        "on_train_begin",
        "on_epoch_begin",
        "on_train_batch_begin",
        "on_train_batch_end",
        "on_epoch_end",
        "on_train_end",
    ]


def terminate_on_nan(_: Path) -> None:
    assert len(fit(make_trainer(), [stock.TerminateOnNaN()])) == 3


def progbar_logger(_: Path) -> None:
    fit(make_trainer(), [stock.ProgbarLogger()], epochs=2, steps=3)


def history(_: Path) -> None:
    callback = stock.History()
    trainer = make_trainer()
    logs = fit(trainer, [callback])
    assert callback.history["loss"] == [line["loss"] for line in logs]
    assert trainer.model.history is callback


def swap_ema_weights(_: Path) -> None:
    class Note(stock.Callback):
        def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
            notes.append(np.array(self.model.embedding.kernel))

    grouped = make_trainer()
    variables = grouped.loop.variables
    optimizer = keras.optimizers.Adam(1e-2, use_ema=True, ema_momentum=0.5)
    optimizer.build(variables)
    grouped.model.optimizer = optimizer
    trainer = Trainer(StepLoop(grouped.model, Step(grouped.loss, optimizer), variables))
    notes: list[np.ndarray] = []
    swap = stock.SwapEMAWeights(swap_on_epoch=True)
    fit(trainer, [Note(), swap, Note()])
    for raw, average in zip(notes[::2], notes[1::2], strict=True):
        assert np.any(raw != average)


WORK = {
    stock.CSVLogger: csv_logger,
    stock.EarlyStopping: early_stopping,
    stock.History: history,
    stock.LambdaCallback: lambda_callback,
    stock.LearningRateScheduler: learning_rate_scheduler,
    stock.ModelCheckpoint: model_checkpoint,
    stock.ProgbarLogger: progbar_logger,
    stock.ReduceLROnPlateau: reduce_lr_on_plateau,
    stock.SwapEMAWeights: swap_ema_weights,
    stock.TensorBoard: tensorboard,
    stock.TerminateOnNaN: terminate_on_nan,
}
TESTED_BELOW = {stock.BackupAndRestore, stock.RemoteMonitor, stock.OrbaxCheckpoint}
NO_CALLBACKS = {stock.Callback, stock.CallbackList}


def test_every_callback_of_keras_has_a_test() -> None:
    there = {value for value in vars(stock).values() if inspect.isclass(value)}
    assert there == {*WORK, *TESTED_BELOW, *NO_CALLBACKS}


@pytest.mark.parametrize("use", WORK.values(), ids=lambda use: use.__name__)
def test_it_works_in_the_trainer(use: Callable[[Path], None], tmp_path: Path) -> None:
    use(tmp_path)


def test_remote_monitor_sends_the_numbers(server: tuple[str, list[dict]]) -> None:
    address, received = server
    callback = stock.RemoteMonitor(root=address, send_as_json=True)
    fit(make_trainer(), [callback], epochs=2)
    assert [sent["epoch"] for sent in received] == [0, 1]
    assert all(sent["loss"] > 0 for sent in received)


def test_progress_bar_of_keras_knows_the_steps(
    capsys: pytest.CaptureFixture[str],
) -> None:
    fit(make_trainer(pause_every=1), [stock.ProgbarLogger()], epochs=2, steps=3)
    out = capsys.readouterr().out
    assert "Epoch 1/2" in out
    assert "3/3" in out
    assert "loss" in out


@pytest.mark.slow
def test_learning_rate_is_set_on_several_devices(
    two_devices: tf.distribute.Strategy,
) -> None:
    trainer = make_trainer(two_devices)
    callback = stock.LearningRateScheduler(lambda _, rate: rate / 2)
    fit(trainer, [callback])
    assert float(keras.ops.convert_to_numpy(trainer.optimizer.learning_rate)) == 0.125


def test_backup_and_restore_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"BackupAndRestore .* Leave it out"):
        fit(make_trainer(), [stock.BackupAndRestore(tmp_path)])


def test_orbax_checkpoint_is_written(tmp_path: Path) -> None:
    pytest.importorskip("orbax.checkpoint", reason="the package orbax-checkpoint")
    callback = stock.OrbaxCheckpoint(tmp_path, save_on_background=False)
    fit(make_trainer(), [callback], epochs=2)
    assert sorted(path.name for path in tmp_path.iterdir())


def test_swap_that_would_do_nothing_is_refused() -> None:
    for options in ({}, {"swap_on_epoch": True}):
        with pytest.raises(ValueError, match="no test phase"):
            fit(make_trainer(), [stock.SwapEMAWeights(**options)])


def test_swap_in_a_run_names_the_flag() -> None:
    with pytest.raises(ValueError, match="--ema"):
        check_callbacks([stock.SwapEMAWeights(swap_on_epoch=True)], scheduled=False)


@pytest.mark.parametrize("name", ["LearningRateScheduler", "ReduceLROnPlateau"])
def test_rate_that_a_schedule_would_set_again_is_refused(name: str) -> None:
    callback = getattr(stock, name)(lambda _: 1.0)
    trainer = make_trainer(rates=build_rates("cosine", 4, 0))
    with pytest.raises(ValueError, match=rf"{name} .*--lr_schedule=constant"):
        fit(trainer, [callback])


def test_what_is_no_callback_is_refused() -> None:
    with pytest.raises(TypeError, match=r"received <function .*expected objects of"):
        fit(make_trainer(), [test_what_is_no_callback_is_refused])


def test_average_of_ours_is_left_to_the_trainer() -> None:
    trainer = make_trainer(ema=0.9)
    assert isinstance(trainer.average, WeightAverage)
    check_callbacks([], scheduled=False, optimizer=trainer.optimizer)
