"""Callbacks of Keras and of the user, in whole runs."""

import csv
import json
from pathlib import Path

import keras
import numpy as np
import pytest

from dce_tf.config import Config
from dce_tf.record.run_directory import RunDirectory
from dce_tf.runs import train as train_module
from dce_tf.runs.train import train
from tests.reports.test_tensorboard import events

stock = keras.callbacks


class Log(stock.Callback):
    """Logs what is no plain number of Python."""

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        logs["mine"] = np.float32(epoch / 2)


@pytest.fixture
def short(config: Config) -> Config:
    return config.replace(
        num_epochs=3, full_embedding_epoch=1, finetune_epoch=2, export=False
    )


@pytest.mark.slow
def test_callbacks_of_keras_work_in_a_run(short: Config, tmp_path: Path) -> None:
    best = str(tmp_path / "{epoch}-{recall@1:.2f}.keras")
    history = stock.History()
    callbacks = [
        Log(),
        stock.ModelCheckpoint(best, "recall@1", save_best_only=True, mode="max"),
        stock.TensorBoard(tmp_path / "board", update_freq=1, histogram_freq=1),
        stock.EarlyStopping("recall@1", patience=9, mode="max"),
        stock.ReduceLROnPlateau("map@r", patience=9, mode="max"),
        stock.CSVLogger(tmp_path / "log.csv"),
        stock.LambdaCallback(),
        stock.LearningRateScheduler(lambda _, rate: rate / 2),
        stock.TerminateOnNaN(),
        stock.ProgbarLogger(),
        history,
    ]
    train(short, callbacks)
    lines = RunDirectory.of(short).metrics()
    assert [line.get("mine") for line in lines] == [None, 0.0, 0.5, 1.0]
    assert [line.get("learning_rate") for line in lines[1:]] == [0.5, 0.25, 0.125]
    assert history.history["recall@1"] == [line["recall@1"] for line in lines[1:]]
    assert list(tmp_path.glob("1-*.keras"))
    with (tmp_path / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["mine"]) for row in rows] == [0.0, 0.5, 1.0]
    found = events(tmp_path / "board" / "train")
    assert len(found["epoch_recall@1"]) == 3
    ours = events(RunDirectory.of(short).tensorboard)
    assert [float(value) for _, _, value in ours["mine"]] == [0.0, 0.5, 1.0]
    assert len(ours["val/recall@1"]) == 4


@pytest.mark.slow
def test_run_that_a_callback_ended_is_not_trained_on(
    short: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stop(stock.Callback):
        def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
            self.model.stop_training = True

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(train_module, "conclude", killed)
        with pytest.raises(KeyboardInterrupt):
            train(short, [Stop()])
    report = train(short)
    assert report["best_epoch"] == 0
    assert len(RunDirectory.of(short).metrics()) == 2


@pytest.mark.slow
def test_text_that_a_callback_logs_ends_the_run_with_its_key(short: Config) -> None:
    class Name(stock.Callback):
        def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
            logs["name"] = "good"

    with pytest.raises(ValueError, match="Name logged 'name': the text 'good'"):
        train(short, [Name()])
    for line in RunDirectory.of(short).metrics_file.read_text().splitlines():
        assert "name" not in json.loads(line)


@pytest.mark.parametrize(
    ("callback", "remedy"),
    [
        (stock.BackupAndRestore("backup"), "the same command resumes it"),
        (stock.SwapEMAWeights(swap_on_epoch=True), "--ema=0.999"),
        (stock.LearningRateScheduler(lambda _: 1.0), "--lr_schedule=constant"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_callback_that_cannot_work_is_refused_before_anything_is_written(
    short: Config, callback: stock.Callback, remedy: str
) -> None:
    settings = short.replace(lr_schedule="cosine")
    with pytest.raises(ValueError, match=remedy):
        train(settings, [callback])
    assert not RunDirectory.of(settings).path.exists()
