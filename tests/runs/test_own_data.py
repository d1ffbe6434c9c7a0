"""A run knows its data: others are refused, finished or not."""

import json
import shutil
from pathlib import Path

import keras
import pytest

from dce_tf import cli
from dce_tf.config import Config, to_flags
from dce_tf.record.run_directory import RunDirectory
from dce_tf.reports.display import Display
from dce_tf.runs.loading import load_data, read_splits
from dce_tf.runs.own_data import check_own_data, keep_left_out, known_left_out
from dce_tf.runs.train import train
from dce_tf.training.divisions import load_division
from tests import fakes

QUIET = Display(quiet=True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return fakes.write_csv(tmp_path / "data", num_classes=12, images_per_class=8)


@pytest.fixture
def other(tmp_path: Path) -> Path:
    return fakes.write_csv(tmp_path / "other", num_classes=12, images_per_class=9)


@pytest.fixture
def short(config: Config, root: Path) -> Config:
    return config.replace(
        data_dir=str(root),
        num_epochs=2,
        full_embedding_epoch=1,
        finetune_epoch=1,
        export=False,
    )


def begin(config: Config) -> RunDirectory:
    """Makes a run that looks as if it had begun."""
    run = RunDirectory.of(config)
    run.prepare(config)
    check_own_data(run, read_splits(config.data), config, QUIET)
    run.write_metrics([{"epoch": -1}])
    return run


def files_of(run: RunDirectory) -> dict[str, bytes]:
    return {
        str(path.relative_to(run.path)): path.read_bytes()
        for path in run.path.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("done", [False, True])
def test_other_data_are_refused_and_nothing_is_changed(
    short: Config, other: Path, done: bool
) -> None:
    run = begin(short)
    if done:
        run.write_report({"after": {"recall@1": 1.0}})
    before = files_of(run)
    with pytest.raises(
        ValueError,
        match=r"on other data than those in .*other\. train: 96 images of 12 classes "
        r"then, 108 images of 12 classes now; .* is row 8, now "
        r"train/id_00000000/08\.jpg.*test: 96 .*lay below .*data/images; or another "
        r"--exp.* --overwrite",
    ):
        train(short.replace(data_dir=str(other)), display=QUIET)
    assert files_of(run) == before


def test_data_that_changed_where_they_lie_are_refused(
    short: Config, root: Path
) -> None:
    begin(short)
    index = root / "index.csv"
    index.write_text(
        index.read_text().replace("00.jpg,id_00000000", "00.jpg,id_00000001")
    )
    with pytest.raises(
        ValueError, match=r"row 0, train/id_00000000/00\.jpg: its label"
    ):
        train(short, display=QUIET)


def test_data_that_cannot_be_read_are_an_error_even_of_a_finished_run(
    short: Config, tmp_path: Path
) -> None:
    begin(short).write_report({"after": {}})
    with pytest.raises(ValueError, match=r"nowhere"):
        train(short.replace(data_dir=str(tmp_path / "nowhere")), display=QUIET)


def test_overwriting_begins_with_the_other_data(short: Config, other: Path) -> None:
    run = begin(short)
    again = short.replace(data_dir=str(other), overwrite=True)
    run.prepare(again)
    check_own_data(run, read_splits(again.data), again, QUIET)
    record = json.loads(run.data_file.read_text())
    assert record["splits"]["train"]["images"] == 108
    assert record["root"] == str(other / "images")


def test_run_moves_with_its_data(short: Config, root: Path, tmp_path: Path) -> None:
    run = begin(short)
    broken = {str(root / "images/train/id_00000003/02.jpg"): "cut short"}
    run.bad_images_file.write_text(json.dumps(broken))
    moved = shutil.move(root, tmp_path / "moved")
    settings = short.replace(data_dir=str(moved))
    check_own_data(run, read_splits(settings.data), settings, QUIET)
    assert run.config().data.data_dir == str(moved)
    assert json.loads(run.bad_images_file.read_text()) == {
        f"{moved}/images/train/id_00000003/02.jpg": "cut short"
    }
    assert json.loads(run.data_file.read_text())["root"] == f"{moved}/images"
    check_own_data(run, read_splits(settings.data), settings, QUIET)


def test_run_from_before_digests_says_so_once_and_keeps_one(
    short: Config, other: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = begin(short)
    run.data_file.unlink()
    for _ in range(2):
        check_own_data(run, read_splits(short.data), short, Display())
    assert capsys.readouterr().out.count("cannot be checked") == 1
    settings = short.replace(data_dir=str(other))
    with pytest.raises(ValueError, match="on other data"):
        check_own_data(run, read_splits(settings.data), settings, QUIET)


def test_what_is_left_out_is_kept_by_its_place_among_the_data(
    short: Config, root: Path, tmp_path: Path
) -> None:
    run, splits = begin(short), read_splits(short.data)
    assert known_left_out(run, splits) is None
    keep_left_out(run, splits, [str(root / "images/train/id_00000003/02.jpg")])
    moved = shutil.move(root, tmp_path / "moved")
    splits = read_splits(short.replace(data_dir=str(moved)).data)
    assert list(known_left_out(run, splits)) == [
        f"{moved}/images/train/id_00000003/02.jpg"
    ]


class Stop(keras.callbacks.Callback):
    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        raise KeyboardInterrupt


def stop(config: Config) -> RunDirectory:
    with pytest.raises(KeyboardInterrupt):
        train(config, callbacks=[Stop()], display=QUIET)
    return RunDirectory.of(config)


@pytest.mark.slow
def test_same_command_on_another_folder_reports_nothing(
    short: Config, root: Path, other: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = train(short, display=QUIET)
    words = to_flags(short.replace(data_dir=str(other)))
    assert cli.main(words) == 1
    seen = capsys.readouterr()
    assert "on other data than those in" in seen.err
    assert "Test scores" not in seen.out
    moved = shutil.move(root, root.with_name("moved"))
    assert train(short.replace(data_dir=str(moved)), display=QUIET) == report
    run = RunDirectory.of(short).path
    assert cli.main(["evaluate", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["warnings"] == []
    words = ["evaluate", str(run), f"--data_dir={other}", "--json"]
    assert cli.main(words) == 0
    (warning,) = json.loads(capsys.readouterr().out)["warnings"]
    assert warning.startswith("These are not the data of the run")


@pytest.mark.slow
def test_training_images_that_broke_are_left_out_of_the_divisions_too(
    short: Config, root: Path
) -> None:
    settings = short.replace(
        num_epochs=3,
        full_embedding_epoch=3,
        finetune_epoch=3,
        recluster_every=2,
        max_bad_images=0.1,
        cluster_features="running",
    )
    run = stop(settings)
    before = load_division(run.clusters / "epoch-0000.npz").membership.tolist()
    data = load_data(settings, run.bad_images_file, QUIET)
    broken = Path(data.splits.train.paths[3])
    broken.write_bytes(b"no image")
    run.bad_images_file.unlink()
    train(settings, display=QUIET)
    after = load_division(run.clusters / "epoch-0000.npz").membership.tolist()
    assert after == before[:3] + before[4:]
    later = load_division(run.clusters / "epoch-0002.npz")
    assert len(later.membership) == len(after)
    assert json.loads(run.data_file.read_text())["left_out"] == [
        str(broken.relative_to(root / "images"))
    ]
