"""A run that chose its epoch on the test split says so wherever its scores stand."""

import pytest
from matplotlib.figure import Figure

from dce_tf import cli
from dce_tf.config import Config
from dce_tf.record.run_directory import RunDirectory
from dce_tf.runs.train import train

pytestmark = pytest.mark.slow


def titles(figures: list[Figure]) -> str:
    return "\n".join(
        axes.get_title(side)
        for figure in figures
        for axes in figure.axes
        for side in ("left", "center")
    )


def test_every_report_says_so(
    config: Config, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: dict[str, list[Figure]] = {"plots": [], "scores": []}
    for name, figures in drawn.items():
        monkeypatch.setattr(
            f"dce_tf.reports.{name}.save",
            lambda figure, _, kept=figures: kept.append(figure),
        )
    config = config.replace(val_fraction=0, select_on="test", export=False)
    report = train(config)
    run, best = RunDirectory.of(config), report["best_epoch"]
    assert report["selected_on"] == "test"
    assert report["export"] is None
    assert [line["evaluated_on"] for line in run.metrics()] == ["test"] * 5
    score = run.metrics()[best + 1]["map@r"]
    assert score == pytest.approx(report["after"]["map@r"], abs=1e-3)
    assert f"best epoch SELECTED ON TEST: {best + 1}" in capsys.readouterr().out
    assert "TEST, on which the best epoch was selected" in titles(drawn["plots"])
    assert cli.main(["browse", config.run.log_dir]) == 0
    assert "│ TEST │" in capsys.readouterr().out
    assert cli.main(["evaluate", str(run.path)]) == 0
    assert "SELECTED ON TEST: this is no honest" in capsys.readouterr().out
    assert "SELECTED ON TEST" in titles(drawn["scores"])
