"""Settings that depend on the data."""

from pathlib import Path

import numpy as np
import pytest

from dce_tf import cli
from dce_tf.config import Config
from dce_tf.datasets import Images
from dce_tf.record.run_directory import RunDirectory
from dce_tf.runs.resolving import resolve
from dce_tf.runs.train import train


def images(num_classes: int, each: int = 4) -> Images:
    labels = np.repeat(np.arange(num_classes), each).astype(np.int32)
    names = [str(number) for number in range(num_classes)]
    return Images([f"{row}.png" for row in range(len(labels))], labels, names)


@pytest.mark.parametrize(
    ("num_classes", "clusters"), [(39, 1), (79, 1), (80, 2), (653, 16), (10_000, 128)]
)
def test_auto_leaves_each_cluster_twice_the_classes_of_a_batch(
    num_classes: int, clusters: int
) -> None:
    config = Config(num_clusters=0, embedding_dim=128)  # 20 classes per batch.
    resolved = resolve(config, images(num_classes))
    assert resolved.division.num_clusters == clusters
    assert RunDirectory.of(config).path.name.startswith("glyphs-K-auto-")


def test_auto_takes_what_divides_the_embedding() -> None:
    config = Config(num_clusters=0, embedding_dim=12)
    assert resolve(config, images(10_000)).division.num_clusters == 4


def test_steps_become_epochs() -> None:
    config = Config(max_steps=50, batch_size=80)
    division = resolve(config, images(200)).division  # 10 steps per epoch.
    assert (division.steps_per_epoch, division.num_epochs) == (10, 5)
    config = config.replace(steps_per_epoch=15)
    assert resolve(config, images(200)).division.num_epochs == 4


def test_other_settings_stay() -> None:
    config = Config()
    assert resolve(config, images(10)) is config


@pytest.mark.slow
def test_run_of_auto_and_max_steps_ends_and_resumes(config: Config) -> None:
    settings = config.replace(
        num_clusters=0,
        samples_per_class=8,
        max_steps=13,
        steps_per_epoch=5,
        stages="divide:0.5, whole:0.5",
        full_embedding_epoch=None,
        finetune_epoch=None,
        train="learner+whole",
        divide="classes",
        sampler="neighbours",
        export=False,
    )
    report = train(settings)
    run = RunDirectory.of(settings)
    assert "-K-auto-" in run.path.name
    stored = run.config().division
    assert (stored.num_clusters, stored.num_epochs) == (2, 3)
    lines = run.metrics()
    assert [line["epoch"] for line in lines] == [-1, 0, 1, 2]
    assert train(settings) == report


def test_auto_is_a_word_of_the_flag(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--num_clusters=autoo", f"--log_dir={tmp_path}"]
    assert cli.main(words) == 2
    assert "expected an integer, or auto" in capsys.readouterr().err
