"""Whole runs, on a tiny data set."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from dce_tf import cli
from dce_tf.config import Config
from dce_tf.record.run_directory import RunDirectory
from dce_tf.runs import devices
from dce_tf.runs.outcome import load_best_model
from dce_tf.runs.train import train
from tests import fakes

MAIN = Path(__file__).parents[2] / "main.py"

pytestmark = pytest.mark.slow


def flags_of(config: Config) -> list[str]:
    default = Config().as_dict()
    return [
        f"--{name}={value}"
        for name, value in config.as_dict().items()
        if value != default[name]
    ]


def numbers(run: RunDirectory) -> list[dict]:
    """The metrics without those that tell the time."""
    return [
        {k: v for k, v in line.items() if "second" not in k} for line in run.metrics()
    ]


class Temperature(keras.callbacks.Callback):
    """Logs a number of the user's."""

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        logs["temperature"] = 20.0 + epoch


@pytest.fixture(scope="module")
def finished(base: Config, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """The settings of a run that ended, with its export."""
    config = base.replace(log_dir=str(tmp_path_factory.mktemp("finished")))
    assert train(config, callbacks=[Temperature()]) == RunDirectory.of(config).report()
    return config


def test_run_leaves_what_the_contract_promises(finished: Config) -> None:
    config, run = finished, RunDirectory.of(finished)
    report = run.report()
    assert RunDirectory.opened(run.path).config() == config
    lines = run.metrics()
    assert [line["epoch"] for line in lines] == [-1, 0, 1, 2, 3]
    stages = ["untrained", "divide", "divide", "full_embedding", "finetune"]
    assert [line["stage"] for line in lines] == stages
    for line in lines:
        assert line["evaluated_on"] == "val"
        for key in ("recall@1", "recall@8", "map@r", "r_precision", "nmi"):
            assert 0 <= line[key] <= 1
    for line in lines[1:]:
        assert line["seconds"] > 0
        assert line["images_per_second"] > 0
    assert lines[1]["cluster_sizes"]
    assert "kept" in lines[3]
    assert report["selected_on"] == "val"
    assert 0 <= report["best_epoch"] <= 3
    assert report["after"]["map@r"] > report["before"]["map@r"]
    plots = {path.name for path in run.plots.glob("*.png")}
    assert plots == {"recall.png", "clusters.png", "distances.png", "neighbours.png"}
    assert sorted(path.name for path in run.clusters.iterdir()) == [
        "epoch-0000.npz",
        "epoch-0002.npz",
    ]
    assert (run.export / "1" / "saved_model.pb").is_file()
    assets = run.export / "1" / "assets.extra"
    card = json.loads((assets / "model_card.json").read_text())
    assert card["test"]["scores"] == report["after"]
    assert card["preprocessing"]["image_size"] == 32
    assert (assets / "labels.txt").read_text() == run.labels_file.read_text()
    assert len(run.labels_file.read_text().splitlines()) == 8
    assert cli.main(["export", str(run.path)]) == 0
    again = run.export / "2" / "assets.extra" / "model_card.json"
    assert json.loads(again.read_text()) == card
    assert json.loads(run.bad_images_file.read_text()) == {}


def test_finished_run_is_shown_not_overwritten(finished: Config) -> None:
    run = RunDirectory.of(finished)
    before = {p: p.stat().st_mtime_ns for p in run.path.rglob("*")}
    assert train(finished) == run.report()
    after = {p: p.stat().st_mtime_ns for p in run.path.rglob("*")}
    assert after == before


def test_users_callback_is_called_and_its_logs_are_kept(finished: Config) -> None:
    lines = RunDirectory.of(finished).metrics()
    assert [line.get("temperature") for line in lines] == [None, 20, 21, 22, 23]


class StopAfter(keras.callbacks.Callback):
    """Ends the process's part of the run as Ctrl-C does."""

    def __init__(self, epoch: int) -> None:
        super().__init__()
        self.epoch = epoch

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if epoch == self.epoch:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def whole(base: Config, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A run that nobody stopped, with chance in all that a run draws."""
    settings = base.replace(
        log_dir=str(tmp_path_factory.mktemp("whole")),
        deterministic=True,
        miner="distance_weighted",
        dropout=0.2,
        export=False,
    )
    train(settings)
    return RunDirectory.of(settings)


def like(whole: RunDirectory, config: Config) -> Config:
    return whole.config().replace(log_dir=config.run.log_dir)


@pytest.mark.parametrize("epoch", [0, 1, 3])
def test_interrupted_run_ends_with_the_same_bits(
    config: Config, whole: RunDirectory, epoch: int
) -> None:
    settings = like(whole, config)
    with pytest.raises(KeyboardInterrupt):
        train(settings, callbacks=[StopAfter(epoch)])
    resumed = train(settings)
    assert numbers(RunDirectory.of(settings)) == numbers(whole)
    assert resumed["after"] == whole.report()["after"]
    one, other = (load_best_model(r) for r in (whole, RunDirectory.of(settings)))
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


WHOLE_FAMILY = {
    "2021": {
        "parts": "masks",
        "num_clusters": 4,
        "hierarchical": True,
        "recluster_every": 1,
        "full_embedding_epoch": 3,
        "isolated_learners": True,
        "freeze_backbone_epochs": 1,
        "adapt_centroids": True,
        "cluster_tries": 3,
        "loss": "margin(learn_beta=class, nu=0.01) + 0.1*proxy_anchor",
        "miner": "distance_weighted",
        "ema": 0.9,
    },
    "ours": {
        "isolated_learners": True,
        "loss": "cross_batch_memory(loss=multi_similarity, start=1, size=64)",
        "optimizer": "sgd",
        "lr_schedule": "cosine",
        "warmup_epochs": 1.0,
        "clip_norm": 1.0,
        "augmentation": "strong",
        "augment_on": "device",
        "cluster_balance": 1.5,
        "cluster_on": "embedding",
        "sampler": "grouped",
        "pooling": "gem",
        "trainable_blocks": 2,
    },
}


@pytest.mark.parametrize("family", WHOLE_FAMILY)
def test_every_part_of_the_family_resumes_with_the_same_bits(
    config: Config, family: str
) -> None:
    whole = config.replace(deterministic=True, export=False, **WHOLE_FAMILY[family])
    expected = train(whole)
    stopped = whole.replace(exp="stopped", export=True)

    with pytest.raises(KeyboardInterrupt):
        train(stopped, callbacks=[StopAfter(2)])
    report = train(stopped)
    assert numbers(RunDirectory.of(stopped)) == numbers(RunDirectory.of(whole))
    assert report["after"] == expected["after"]
    assert (RunDirectory.of(stopped).export / "1" / "saved_model.pb").is_file()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_process_is_resumed_by_the_same_command(
    config: Config, whole: RunDirectory, how: signal.Signals
) -> None:
    settings = like(whole, config)
    run = RunDirectory.of(settings)
    command = [sys.executable, MAIN, *flags_of(settings)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while len(run.metrics()) < 3:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, how)
    _, err = process.communicate(timeout=60)
    if how == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert process.returncode == 130, err
        assert "goes on from the last checkpoint" in err
    assert run.report() is None
    subprocess.run(command, check=True, capture_output=True)
    assert numbers(run) == numbers(whole)
    assert run.report()["after"] == whole.report()["after"]


def test_baseline_without_division(config: Config) -> None:
    plain = config.replace(num_clusters=1, export=False)
    report = train(plain)
    assert report["after"]["map@r"] > report["before"]["map@r"]
    assert RunDirectory.of(plain).metrics()[1]["cluster_sizes"] == [64]


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_mixed_precision_trains_and_exports(config: Config, precision: str) -> None:
    try:
        report = train(config.replace(mixed_precision=precision))
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert report["after"]["map@r"] > report["before"]["map@r"]
    assert (RunDirectory.of(config).path / report["export"]).is_dir()


def test_two_devices_run_like_one(
    config: Config, two_devices: tf.distribute.Strategy, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Batches that two do not divide evenly, and checkpoints of mirrored weights.
    plain = config.replace(
        dropout=0.0, evaluation_batch_size=13, backbone_lr=1e-4, export=False
    )
    one = train(plain.replace(exp="one"))
    monkeypatch.setattr(devices, "make_strategy", lambda: two_devices)
    with pytest.raises(KeyboardInterrupt):
        train(plain, callbacks=[StopAfter(1)])
    two = train(plain)
    assert two["before"] == pytest.approx(one["before"], abs=0.02)
    assert two["after"]["map@r"] == pytest.approx(one["after"]["map@r"], abs=0.05)
    losses = [
        [line.get("loss") for line in RunDirectory.of(settings).metrics()[1:3]]
        for settings in (plain, plain.replace(exp="one"))
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_few_broken_images_are_left_out_and_many_stop_the_run(
    config: Config, tmp_path: Path
) -> None:
    root = fakes.write_csv(tmp_path / "data", num_classes=12, images_per_class=8)
    for path in sorted((root / "images" / "test").rglob("*.jpg"))[:5]:
        path.write_text("no image")
    settings = config.replace(
        data_dir=str(root),
        num_epochs=1,
        full_embedding_epoch=0,
        finetune_epoch=0,
        export=False,
    )
    with pytest.raises(
        ValueError, match=r"5 of 192 .* more than --max_bad_images=0.01"
    ):
        train(settings)
    # Mended, they are images like the others.
    fakes.write_csv(root, num_classes=12, images_per_class=8)
    broken = sorted((root / "images" / "train").rglob("*.jpg"))[5]
    broken.write_bytes(broken.read_bytes()[:100])
    report = train(settings)
    listed = json.loads(RunDirectory.of(settings).bad_images_file.read_text())
    assert list(listed) == [str(broken)]
    assert "1 of 192 images are broken" in report["warnings"][0]
