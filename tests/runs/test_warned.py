"""What a run is warned of stays with it: in its folder, its report and in browse."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from dce_tf import cli
from dce_tf.config import Config
from dce_tf.datasets import Images, Search
from dce_tf.record.run_directory import RunDirectory
from dce_tf.reports.display import Display
from dce_tf.runs.train import train
from dce_tf.runs.warned import build_health
from dce_tf.training.checkpoints import RunProgress


def search(num_classes: int) -> Search:
    labels = np.arange(num_classes, dtype=np.int32)
    images = Images(
        tuple(f"{label}.jpg" for label in labels), labels, tuple("abcdef"[:num_classes])
    )
    return Search("val", images, images)


def scored(epoch: int, loss: float | None = None) -> dict:
    line = {"epoch": epoch, "recall@1": 0.5 + epoch / 10, "evaluated_on": "val"}
    return {**line, "map@r": 0.4} | ({} if loss is None else {"loss": loss})


def test_warnings_are_kept_shown_and_not_repeated_when_the_run_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = Config(log_dir=str(tmp_path), num_epochs=3)
    run = RunDirectory.of(config)
    run.prepare(config)
    progress = RunProgress(history=[scored(-1)])
    for epoch in range(2):
        health = build_health(run, progress, search(4), lambda: None, Display())
        progress.history.append(scored(epoch, 0.0))
        progress.epoch = epoch
        health.on_epoch_end(epoch)
    assert [each["kind"] for each in run.warnings()] == ["zero_loss"]
    assert capsys.readouterr().out.count("Warning: The loss was exactly 0") == 1
    run.write_metrics(progress.history)
    assert cli.main(["browse", str(tmp_path), "--csv"]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert row["warnings"] == "zero_loss"
    assert cli.main(["browse", str(tmp_path)]) == 0
    assert "warnings" in capsys.readouterr().out


def test_warning_of_an_epoch_that_is_trained_again_is_given_again(
    tmp_path: Path,
) -> None:
    config = Config(log_dir=str(tmp_path))
    run = RunDirectory.of(config)
    run.prepare(config)
    for _ in range(2):
        # Killed before the checkpoint of its epoch.
        progress = RunProgress(history=[scored(-1)])
        health = build_health(
            run, progress, search(4), lambda: None, Display(quiet=True)
        )
        progress.history.append(scored(0, 0.0))
        health.on_epoch_end(0)
        assert [each["epoch"] for each in run.warnings()] == [0]


@pytest.mark.slow
def test_run_in_which_no_negative_counts_is_warned_of(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    idle = config.replace(
        num_epochs=2,
        full_embedding_epoch=1,
        finetune_epoch=1,
        loss="margin",
        miner="nearest(cutoff=1.9)",
        backbone_wd=0.0,
        embedding_wd=0.0,
        nmi_runs=0,
        export=False,
    )
    report = train(idle)
    run = RunDirectory.of(idle)
    assert [line["loss"] for line in run.metrics()[1:]] == [0.0, 0.0]
    kinds = [each["kind"] for each in run.warnings()]
    assert kinds == ["zero_loss", "collapsed", "never_better"]
    texts = [each["text"] for each in run.warnings()]
    assert report["warnings"] == texts
    printed = " ".join(capsys.readouterr().out.split())
    assert all(printed.count(text) == 2 for text in texts), "at the time, and at last"


def test_where_nothing_is_chosen_few_classes_are_no_danger(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunDirectory(tmp_path)
    progress = RunProgress(history=[scored(-1)])
    for chooses in (True, False):
        health = build_health(
            run, progress, search(2), lambda: None, Display(), chooses=chooses
        )
        health.on_train_begin()
        told = "chosen on 2 classes" in capsys.readouterr().out
        assert told is chooses
