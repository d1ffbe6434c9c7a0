"""What is refused before it has begun leaves nothing behind."""

from pathlib import Path

import keras
import pytest

from dce_tf import cli
from dce_tf.config import Config, to_flags
from dce_tf.record.run_directory import RunDirectory
from dce_tf.reports.display import Display
from dce_tf.runs.beginning import held, what_is_kept
from dce_tf.runs.train import train
from dce_tf.training.checkpoints import Checkpoints, RunProgress

QUIET = Display(quiet=True)


def begin(config: Config) -> RunDirectory:
    run = RunDirectory.of(config)
    run.prepare(config)
    run.write_metrics([{"epoch": -1}])
    return run


def fail(config: Config, error: BaseException) -> None:
    run = RunDirectory.of(config)
    with held(run):
        run.prepare(config)
        run.bad_images_file.write_text("{}")
        (run.plots).mkdir()
        (run.plots / "snapshot-before.npz").write_text("")
        raise error


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_clusters": 8}, "--num_clusters=8 is too many"),
        ({"data_dir": "nowhere"}, "nowhere"),
        ({"loss": "margn"}, "Did you mean 'margin'"),
        ({"val_fraction": 0.0}, "nothing to choose the best epoch on"),
        ({"backbone": "nowhere.keras"}, "there is no such file"),
        ({"max_image_pixels": 100}, "images are broken"),
        ({"trainable_blocks": 9}, "at most --trainable_blocks=4"),
    ],
)
def test_refused_run_leaves_no_folder(
    config: Config, tmp_path: Path, changes: dict, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        train(config.replace(**changes), display=QUIET)
    assert list(tmp_path.iterdir()) == []


def test_backbone_of_another_size_is_refused_before_images_are_read(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = keras.Input((64, 64, 3))
    features = keras.layers.GlobalAveragePooling2D()(images)
    keras.Model(images, features).save(tmp_path / "fixed.keras")
    monkeypatch.setattr("dce_tf.runs.train.read_splits", None)
    with pytest.raises(ValueError, match=r"64 × 64 only; --image_size=32\. Pass"):
        train(config.replace(backbone=str(tmp_path / "fixed.keras")), display=QUIET)
    assert [path.name for path in tmp_path.iterdir()] == ["fixed.keras"]


def test_refused_run_is_not_browsed(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    begin(config.replace(exp="begun"))
    assert cli.main(to_flags(config.replace(num_clusters=8))) == 2
    log = Path(config.run.log_dir)
    assert cli.main(["browse", str(log), "--csv"]) == 0
    names = [line.split(",")[0] for line in capsys.readouterr().out.splitlines()[1:]]
    assert names == ["default/csv-K-2-M-2-exp-begun"]
    (only,) = (log / "default").iterdir()
    assert only.name == "csv-K-2-M-2-exp-begun"


def test_settings_alone_are_no_run(config: Config, tmp_path: Path) -> None:
    run = RunDirectory.of(config)
    run.prepare(config)
    assert cli.main(["browse", str(tmp_path)]) == 1
    with run.locked():
        assert cli.main(["browse", str(tmp_path)]) == 0, "its first minutes"


def test_refused_run_gives_back_what_it_was_to_overwrite(config: Config) -> None:
    run = begin(config)
    run.write_report({"after": {"recall@1": 0.5}})
    with pytest.raises(ValueError, match="too many"):
        train(config.replace(overwrite=True, num_clusters=8), display=QUIET)
    other = config.replace(overwrite=True, max_image_pixels=100)
    with pytest.raises(ValueError, match="images are broken"):
        train(other, display=QUIET)
    assert run.report() == {"after": {"recall@1": 0.5}}
    assert run.config() == config
    assert {path.name for path in run.path.parent.iterdir()} == {run.path.name}


def test_overwritten_run_goes_when_the_new_one_has_begun(config: Config) -> None:
    run = begin(config)
    run.write_report({"after": {}})
    with held(run):
        run.prepare(config.replace(overwrite=True))
        assert len(list(run.path.parent.glob(".*overwritten"))) == 1
        run.write_metrics([{"epoch": -1}])
        assert not list(run.path.parent.glob(".*overwritten"))
    assert run.report() is None


def test_run_that_was_killed_before_it_began_gives_back_the_old_one(
    config: Config,
) -> None:
    run = begin(config)
    run.write_report({"after": {"recall@1": 0.5}})
    run.prepare(config.replace(overwrite=True))
    assert run.report() is None
    with held(run):
        assert run.report() == {"after": {"recall@1": 0.5}}


def test_failure_before_the_first_metrics_takes_all_back(
    config: Config, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="weights"):
        fail(config, ValueError("no weights"))
    assert list(tmp_path.iterdir()) == []


def test_what_others_put_there_stays(config: Config) -> None:
    run = RunDirectory.of(config)
    run.path.mkdir(parents=True)
    (run.path / "thesis.tex").write_text("dear")
    (run.path.parent / "neighbour").mkdir()
    with pytest.raises(ValueError, match="weights"):
        fail(config, ValueError("no weights"))
    assert [path.name for path in run.path.iterdir()] == ["thesis.tex"]
    assert {path.name for path in run.path.parent.iterdir()} == {
        "neighbour",
        run.path.name,
    }


def test_ctrl_c_keeps_the_search_for_broken_images(config: Config) -> None:
    with pytest.raises(KeyboardInterrupt):
        fail(config, KeyboardInterrupt())
    assert RunDirectory.of(config).bad_images_file.is_file()


def test_stopped_run_says_what_the_same_command_will_do(config: Config) -> None:
    run = RunDirectory.of(config)
    for overwrites in (False, True):
        assert "no checkpoint yet" in what_is_kept(run, overwrites)
    Checkpoints(run.checkpoints).save(RunProgress(), [])
    assert what_is_kept(run, False).startswith("The same command goes on")
    assert what_is_kept(run, True).startswith("Without --overwrite the same command")


def test_run_that_has_begun_is_kept_when_it_fails(config: Config) -> None:
    run = begin(config)
    with pytest.raises(ValueError, match="disk"), held(run):
        raise ValueError("no disk")
    assert run.metrics() == [{"epoch": -1}]


def test_run_that_another_process_holds_is_left_alone(config: Config) -> None:
    run = RunDirectory.of(config)
    with held(run):
        run.prepare(config)
        with pytest.raises(ValueError, match="in use"), held(run):
            pass
        assert run.config_file.is_file()
        assert run.is_running()
