"""What befalls a run, and what it says then."""

import json
import shutil
import signal
from pathlib import Path

import keras
import pytest
import tensorflow as tf

from benchmarks import faults
from dce_tf.clustering import trainable
from dce_tf.config import Config
from dce_tf.datasets import Splits
from dce_tf.record.run_directory import RunDirectory
from dce_tf.runs.failures import explained_faults
from dce_tf.runs.train import train
from tests import fakes


class After(keras.callbacks.Callback):
    """Does something after an epoch."""

    def __init__(self, epoch: int, act) -> None:
        super().__init__()
        self.epoch, self.act = epoch, act

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if epoch == self.epoch:
            self.act()


@pytest.mark.parametrize(
    ("replicas", "batch_size", "proposed"),
    [(1, 80, 40), (1, 8, 8), (2, 80, 40), (3, 96, 48)],
)
def test_want_of_memory_names_a_smaller_batch(
    replicas: int, batch_size: int, proposed: int
) -> None:
    config = Config(batch_size=batch_size)
    empty = Splits.__new__(Splits)
    with (
        pytest.raises(ValueError, match=f"try --batch_size={proposed};"),
        explained_faults(config.loss, config.data, empty, replicas),
    ):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")


@pytest.fixture
def short(config: Config) -> Config:
    return config.replace(
        num_epochs=2, full_embedding_epoch=1, finetune_epoch=1, export=False
    )


@pytest.fixture
def own_data(tmp_path: Path) -> Path:
    return fakes.write_csv(tmp_path / "data", num_classes=12, images_per_class=8)


@pytest.mark.slow
def test_image_that_vanishes_is_named_and_the_run_goes_on_when_it_is_back(
    short: Config, own_data: Path
) -> None:
    settings = short.replace(data_dir=str(own_data))
    gone = sorted((own_data / "images" / "train").rglob("*.jpg"))
    kept = [path.rename(path.with_suffix(".kept")) for path in ()]

    def vanish() -> None:
        kept.extend(path.rename(path.with_suffix(".kept")) for path in gone[:60])

    with pytest.raises(ValueError, match=r"60 of the images .* goes on from the last"):
        train(settings, callbacks=[After(0, vanish)])
    for path in kept:
        path.rename(path.with_suffix(".jpg"))
    report = train(settings)
    assert not [text for text in report["warnings"] if "broken" in text]
    assert len(RunDirectory.of(settings).metrics()) == 3


@pytest.mark.slow
def test_run_directory_that_is_removed_ends_the_run(short: Config) -> None:
    run = RunDirectory.of(short)
    with pytest.raises(ValueError, match="was removed"):
        train(short, callbacks=[After(0, lambda: shutil.rmtree(run.path))])
    train(short)


@pytest.mark.slow
def test_failing_kmeans_leaves_the_last_division_in_force(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, calls = trainable.fit_kmeans, []

    def failing(*args, **kwargs):
        calls.append(1)
        if len(calls) > 1:
            raise RuntimeError("Error in virtual void faiss::Clustering::train")
        return original(*args, **kwargs)

    monkeypatch.setattr(trainable, "fit_kmeans", failing)
    settings = config.replace(export=False, nmi_runs=0)
    with pytest.warns(UserWarning, match="the last division stays in force"):
        train(settings)
    lines = RunDirectory.of(settings).metrics()
    assert lines[3]["cluster_sizes"] == lines[1]["cluster_sizes"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_run_killed_at_random_moments_ends_with_the_same_bits(
    tmp_path: Path, number: signal.Signals
) -> None:
    # `python -m benchmarks.faults` does it twenty times.
    seen, _ = faults.compare(tmp_path, 2, number, seed=1)
    assert seen.total() == 2


@pytest.mark.slow
def test_checkpoint_within_an_epoch_is_gone_on_with(config: Config) -> None:
    settings = config.replace(
        deterministic=True,
        loss="multi_similarity",
        checkpoint_every_steps=1,
        keep_checkpoints=100,
        export=False,
        dropout=0.2,
    )
    whole = settings.replace(exp="whole")
    expected = train(whole)
    run, stopped = RunDirectory.of(whole), RunDirectory.of(settings)
    files = sorted(path.name for path in run.checkpoints.glob("*-step-*.npz"))
    assert len(files) >= 4
    for name in files[:: len(files) // 4]:
        shutil.rmtree(stopped.path, ignore_errors=True)
        shutil.copytree(run.path, stopped.path)
        stopped.report_file.unlink()
        for path in stopped.checkpoints.glob("epoch-*.npz"):
            later = path.name.replace(".npz", "-step-0000000.npz") > name
            if later and path.name != name:
                path.unlink()
        config_file = json.loads(stopped.config_file.read_text())
        stopped.config_file.write_text(json.dumps({**config_file, "exp": "0"}))
        report = train(settings)
        assert report["after"] == expected["after"], name
        assert [line.get("loss") for line in stopped.metrics()] == [
            line.get("loss") for line in run.metrics()
        ]
