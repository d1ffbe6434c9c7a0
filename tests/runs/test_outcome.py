import pytest

from dce_tf.config import Config
from dce_tf.export.versions import versions
from dce_tf.record.run_directory import RunDirectory
from dce_tf.runs.outcome import _next_commands, where_time_went
from dce_tf.runs.train import train


@pytest.mark.slow
def test_a_picture_that_fails_beside_the_export_fails_the_run(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config.replace(
        num_epochs=1, full_embedding_epoch=None, finetune_epoch=None
    )
    run = RunDirectory.of(config)

    def fail(*_: object) -> None:
        raise OSError("no room for plots")

    with monkeypatch.context() as patched:
        patched.setattr("dce_tf.runs.pictures.draw_plots", fail)
        with pytest.raises(OSError, match="no room for plots"):
            train(config)
    assert run.report() is None
    assert versions(run.export) == []
    train(config)
    assert run.report()["export"] == "export/1"
    assert versions(run.export) == [1]
    pictures = {path.name for path in run.plots.glob("*.png")}
    assert pictures >= {"recall.png", "distances.png", "neighbours.png"}


def test_parts_of_the_time_are_told_the_largest_first() -> None:
    history = [
        {"epoch": -1, "seconds": 3.0},
        {"seconds_step": 5.0, "seconds_data": 1.0, "seconds_kmeans": 0.5},
        {"seconds_step": 2.0, "seconds_data": 0.5, "seconds_features": 1.0},
    ]
    line = where_time_went(history)
    assert line.startswith(
        "Time: steps 70%, waiting for images 15%, features to cluster 10%, k-means 5%"
    )
    assert "--cache_images" not in line
    waiting = [{"seconds_step": 3.0, "seconds_data": 1.0}]
    assert "try --cache_images" in where_time_went(waiting)
    assert where_time_went([]).startswith("Time: waiting for images 0%")


def test_a_run_leads_on_to_its_page() -> None:
    run = RunDirectory("log/my runs/csv-K-1-M-2-exp-0")
    commands = _next_commands({"export": "export/1"}, run)
    assert commands[:3] == [
        "python main.py embed 'log/my runs/csv-K-1-M-2-exp-0'",
        "python main.py index 'log/my runs/csv-K-1-M-2-exp-0/embeddings'",
        "python main.py serve 'log/my runs/csv-K-1-M-2-exp-0' "
        "--index='log/my runs/csv-K-1-M-2-exp-0/index'",
    ]
    first = _next_commands({"export": None}, run)[0]
    assert first == "python main.py export 'log/my runs/csv-K-1-M-2-exp-0'"
