import csv
import json
from pathlib import Path

import pytest

from dce_tf import cli
from dce_tf.config import Config
from dce_tf.sweep import variants
from tests import fakes
from tests.sweep.finished import finish


@pytest.mark.slow
def test_drawn_combination_that_cannot_work_is_one_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    def run(config: Config, output: Path) -> str:
        finish(config, recall=0.25)
        return ""

    monkeypatch.setattr(variants, "run_in_process", run)
    words = ["--vary=num_clusters=2..6", "--embedding_dim=64", "--trials=8"]
    assert cli.main(["sweep", *words, f"--log_dir={tmp_path}"]) == 1
    assert "works is --embedding_dim=" in capsys.readouterr().out
    runs = json.loads((tmp_path / "default" / "0-sweep.json").read_text())["runs"]
    assert len(runs) == 8
    for each in runs:
        works = 64 % each["settings"]["num_clusters"] == 0
        assert each["scores"]["recall@1"] == ([0.25] if works else [])
        assert bool(each["failed"]) != works
    assert {bool(each["failed"]) for each in runs} == {True, False}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--select_on=test"], "held-out classes"),
        (["--seeds=0,0"], "different numbers"),
        (["--seeds=a"], "such as --seeds=0,1,2"),
        (["--vary=embedding_dim=30,32"], "works is --embedding_dim=32"),
    ],
)
def test_command_refuses_before_the_first_run(
    words: list[str], message: str, capsys, tmp_path: Path
) -> None:
    given = ["--vary=num_clusters=1,4", f"--log_dir={tmp_path}", *words]
    assert cli.main(["sweep", *given]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.rglob("config.json"))


@pytest.mark.slow
def test_sweep_as_a_user_runs_it(tmp_path: Path, capsys) -> None:
    fakes.write_csv(tmp_path / "data", num_classes=16)
    words = [
        "sweep",
        "--dataset=csv",
        f"--data_dir={tmp_path / 'data'}",
        f"--log_dir={tmp_path / 'log'}",
        "--backbone=small",
        "--image_size=32",
        "--batch_size=8",
        "--samples_per_class=2",
        "--embedding_dim=8",
        "--num_epochs=1",
        "--finetune_epoch=0",
        "--nmi_runs=0",
        "--val_fraction=0.3",
        "--noexport",
        "--num_clusters=1",
    ]
    assert cli.main([*words, "--vary=loss=margin,supcon"]) == 0
    out = capsys.readouterr().out
    assert "Best epoch on the held-out classes" in out
    assert "Test scores" not in out
    assert cli.main([*words, "--vary=loss=margin,supcon,fastap(num_bins=1)"]) == 2
    assert cli.main([*words, "--vary=loss=margin,supcon,circle"]) == 0
    table = (tmp_path / "log" / "default" / "0-sweep.csv").read_text()
    rows = list(csv.DictReader(table.splitlines()))
    assert {row["loss"] for row in rows} == {"margin", "supcon", "circle"}
    printed = (tmp_path / "log" / "default" / "0-sweep.txt").read_text()
    assert printed.count("Device:") == 3, "what was done was trained again"
