"""Runs with code of the user: a loss, a data set, a layer of a backbone, a callback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

from dce_tf import cli
from dce_tf.base.errors import UsageError
from dce_tf.config import Config, to_flags
from dce_tf.record.run_directory import RunDirectory
from dce_tf.runs.plugged import check_plugins, settings_of
from dce_tf.runs.session import check

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.usefixtures("forgets_plugins")

IDEA = """
import keras
from dce_tf.callbacks import CALLBACKS
from dce_tf.datasets import DATASETS, csv_index
from dce_tf.losses import LOSSES
from dce_tf.losses.contrastive import ContrastiveLoss

@LOSSES.register("mine")
class MyLoss(ContrastiveLoss):
    "Is mine."

@DATASETS.register("my_images")
def read_mine(data_dir=None):
    "Reads mine."
    return csv_index.read_csv(data_dir)

@CALLBACKS.register("my_callback")
class MyCallback(keras.callbacks.Callback):
    "Counts."

    def on_epoch_end(self, epoch, logs=None):
        logs["mine"] = epoch + 10

@keras.saving.register_keras_serializable(package="ideas")
class Half(keras.layers.Layer):
    def call(self, x):
        return x / 2
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "idea_run.py"
    path.write_text(IDEA)
    return path


def begun(config: Config) -> RunDirectory:
    run = RunDirectory.of(config)
    run.prepare(config)
    run.write_metrics([{"epoch": -1, "stage": "untrained"}])
    return run


def test_names_of_a_plugin_are_known_once_it_is_named(
    config: Config, plugin: Path
) -> None:
    mine = config.replace(loss="mine(power=1)", callback="my_callback")
    with pytest.raises(UsageError, match=r"Unknown loss 'mine'.* --plugin"):
        check(mine)
    check(mine.replace(plugin=str(plugin)))


def test_run_is_not_resumed_without_its_plugin(config: Config, plugin: Path) -> None:
    mine = config.replace(loss="mine", plugin=str(plugin))
    begun(mine)
    with pytest.raises(UsageError, match=r"begun with --plugin=.*idea_run.*now none"):
        check_plugins(mine.replace(plugin=None))
    with pytest.raises(UsageError, match="begun with --plugin"):
        check_plugins(mine.replace(plugin="other.py"))
    check_plugins(mine)
    check_plugins(mine.replace(plugin=f"elsewhere/{plugin.name}"))
    check_plugins(mine.replace(plugin=None, overwrite=True))
    check_plugins(mine.replace(plugin=None, exp="2"))


def test_run_without_a_plugin_is_not_resumed_with_one(
    config: Config, plugin: Path
) -> None:
    begun(config)
    with pytest.raises(UsageError, match="begun with no --plugin"):
        check_plugins(config.replace(plugin=str(plugin)))


def test_settings_of_a_run_load_its_plugin(config: Config, plugin: Path) -> None:
    run = begun(config.replace(plugin=str(plugin), loss="mine"))
    check(settings_of(run))


def test_plugin_that_was_moved_is_asked_for(config: Config, plugin: Path) -> None:
    run = begun(config.replace(plugin=str(plugin)))
    moved = plugin.rename(plugin.with_name("idea_moved.py"))
    with pytest.raises(UsageError, match=r"no such file.*Give its path"):
        settings_of(run)
    settings_of(run, {"plugin": str(moved)})


def test_options_list_what_a_plugin_registers(
    plugin: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["options", "loss", f"--plugin={plugin}"]) == 0
    out = capsys.readouterr().out
    assert "mine(" in out
    assert "Is mine. (From idea_run.)" in out
    assert out.count("(From ") == 1


def test_plugin_that_fails_is_one_line_on_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "idea_broken.py").write_text("1 / 0")
    assert cli.main(["options", f"--plugin={tmp_path}/idea_broken.py"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "does not import: division by zero" in line


def run_python(folder: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def save_backbone(path: Path) -> None:
    """Saves a network with a layer that, afterwards, only the plugin has."""

    class Half(keras.layers.Layer):
        def call(self, x: object) -> object:
            return x

    keras.saving.register_keras_serializable(package="ideas")(Half)
    images = keras.Input((32, 32, 3))
    keras.Model(images, keras.layers.Conv2D(8, 3)(Half()(images))).save(path)
    del keras.saving.get_custom_objects()["ideas>Half"]


@pytest.mark.slow
def test_sweep_and_evaluate_see_the_plugin(
    config: Config, plugin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = plugin.parent
    monkeypatch.chdir(folder)
    save_backbone(folder / "backbone.keras")
    settings = config.replace(
        plugin=plugin.name,
        dataset="my_images",
        backbone="backbone.keras",
        callback="my_callback",
        num_epochs=1,
        full_embedding_epoch=0,
        finetune_epoch=0,
        export=False,
    )
    flags = [word for word in to_flags(settings) if word.split("=")[1] not in ("", "0")]
    assert cli.main(["sweep", *flags, "--vary=loss=mine,margin"]) == 0
    runs = sorted(Path(settings.run.log_dir).rglob("metrics.jsonl"))
    assert len(runs) == 2
    for path in runs:
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert lines[1]["mine"] == 10
    out = run_python(folder, "-m", "main", "evaluate", str(runs[0].parent), "--json")
    assert "recall@1" in out
