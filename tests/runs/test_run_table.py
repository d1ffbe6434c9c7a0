import csv
import io
from pathlib import Path

import pytest

from dce_tf import cli
from dce_tf.config import Config
from dce_tf.record.run_directory import RunDirectory
from dce_tf.runs.run_table import list_runs


def write_run(
    root: Path, name: str, recalls: list[float], done: bool = False
) -> RunDirectory:
    config = Config(log_dir=str(root), exp=name, num_epochs=len(recalls) + 1)
    run = RunDirectory.of(config)
    run.prepare(config)
    lines = [{"epoch": -1, "recall@1": 0.99, "evaluated_on": "val", "seconds": 1.0}]
    lines += [
        {
            "epoch": e,
            "recall@1": r,
            "map@r": r / 2,
            "evaluated_on": "val",
            "seconds": 2.0,
        }
        for e, r in enumerate(recalls)
    ]
    run.write_metrics(lines)
    if done:
        run.write_report({"after": {"recall@1": 0.5, "map@r": 0.25}})
    return run


def test_runs_are_sorted_by_their_best_epoch(tmp_path: Path) -> None:
    write_run(tmp_path, "worse", [0.3, 0.2])
    write_run(tmp_path, "better", [0.4, 0.6, 0.5], done=True)
    first, second = list_runs(tmp_path)
    assert (first.run, second.run) == (
        "default/glyphs-K-1-M-2-exp-better",
        "default/glyphs-K-1-M-2-exp-worse",
    )
    assert (first.best_epoch, first.recall_at_1, first.map_at_r) == (2, 0.6, 0.3)
    assert (first.state, first.epochs, first.test_recall_at_1) == ("done", "3/4", 0.5)
    assert (second.state, second.seconds, second.test_recall_at_1) == (
        "stopped",
        5,
        None,
    )


def test_run_that_is_locked_is_running(tmp_path: Path) -> None:
    run = write_run(tmp_path, "a", [0.3])
    with run.locked():
        assert list_runs(tmp_path)[0].state == "running"
    assert list_runs(tmp_path)[0].state == "stopped"


def test_damaged_run_is_shown_as_such(tmp_path: Path) -> None:
    write_run(tmp_path, "good", [0.3])
    write_run(tmp_path, "bad", [0.9]).metrics_file.write_text('{"epoch": 0, "rec')
    good, bad = list_runs(tmp_path)
    assert good.recall_at_1 == 0.3
    assert bad.state.startswith("damaged")


def test_run_before_its_first_epoch_has_no_best(tmp_path: Path) -> None:
    write_run(tmp_path, "a", [])
    assert list_runs(tmp_path)[0].best_epoch is None


def test_browse_prints_a_table_or_csv(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path, "a", [0.25])
    assert cli.main(["browse", str(tmp_path)]) == 0
    assert "0.2500" in capsys.readouterr().out
    assert cli.main(["browse", str(tmp_path), "--csv"]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert row["recall_at_1"] == "0.25"
    assert row["clusters"] == "1"


def test_browsing_where_no_run_is_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["browse", str(tmp_path / "nothing")]) == 1
    assert "no runs here" in capsys.readouterr().err
