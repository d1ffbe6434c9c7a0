import json
from pathlib import Path

import numpy as np
import pytest

from dce_tf import cli
from dce_tf.base.errors import UsageError
from dce_tf.config import Config
from dce_tf.record.run_directory import RunDirectory
from dce_tf.runs import folds
from dce_tf.runs.train import train


@pytest.fixture
def short(config: Config) -> Config:
    return config.replace(
        num_epochs=1, full_embedding_epoch=0, finetune_epoch=0, num_folds=3
    )


def test_folds_are_runs_of_their_own(config: Config) -> None:
    names = {
        RunDirectory.of(config.replace(num_folds=3, fold=fold)).path.name
        for fold in (0, 2)
    }
    assert names == {
        "csv-K-2-M-2-exp-0-fold-0",
        "csv-K-2-M-2-exp-0-fold-2",
    }
    assert folds.folds_file(config).name == "csv-K-2-M-2-exp-0-folds.json"


def test_a_single_run_of_no_fold_is_refused(short: Config) -> None:
    with pytest.raises(UsageError, match="cross_validate trains them all"):
        train(short)


@pytest.mark.slow
def test_mean_and_deviation_are_over_the_folds(
    short: Config, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def pretend(config: Config, display: object) -> dict:
        run = RunDirectory.of(config)
        run.prepare(config)
        score = 0.1 * (config.data.fold + 1) ** 2
        run.write_metrics([{"epoch": 0, "recall@1": 2 * score, "map@r": 0.5}])
        return {"after": {"recall@1": score, "map@r": 0.25}}

    monkeypatch.setattr(folds, "train", pretend)
    result = folds.cross_validate(short)
    assert result["test"]["recall@1"]["values"] == pytest.approx([0.1, 0.4, 0.9])
    assert result["test"]["recall@1"]["mean"] == pytest.approx(1.4 / 3)
    # By hand: ((1.1/3)² + (0.2/3)² + (1.3/3)²) / 2 = 0.16333…
    assert result["test"]["recall@1"]["std"] == pytest.approx(np.sqrt(0.49 / 3))
    assert result["val"]["recall@1"]["mean"] == pytest.approx(2.8 / 3)
    assert result["val"]["map@r"]["std"] == 0
    assert json.loads(folds.folds_file(short).read_text()) == result
    assert "0.9333 ± 0.8083" in capsys.readouterr().out


@pytest.mark.slow
def test_all_folds_are_trained_once(
    short: Config, capsys: pytest.CaptureFixture
) -> None:
    short = short.replace(num_folds=2, export=False)
    result = folds.cross_validate(short)
    runs = [RunDirectory.of(short).path.with_name(name) for name in result["runs"]]
    stamps = [path.stat().st_mtime_ns for run in runs for path in run.rglob("*")]
    report = RunDirectory(runs[1]).report()
    assert result["test"]["map@r"]["values"][1] == report["after"]["map@r"]
    assert folds.cross_validate(short) == result
    assert stamps == [p.stat().st_mtime_ns for run in runs for p in run.rglob("*")]
    capsys.readouterr()
    assert cli.main(["browse", short.run.log_dir, "--csv"]) == 0
    out = capsys.readouterr().out
    assert all(Path(run).name in out for run in runs)
