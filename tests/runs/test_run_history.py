"""What runs did, and what differs between them."""

import json
from pathlib import Path

import pytest

from dce_tf.base.errors import UsageError
from dce_tf.config import Config
from dce_tf.runs.run_history import (
    RunHistory,
    changed_settings,
    gains,
    group_runs,
    read_histories,
)


def write(root: Path, name: str, scores: list[float | None], **settings) -> Path:
    """Writes the files of a run that scored this, from before training on."""
    config = Config(dataset="csv", data_dir="data", val_fraction=0.3, **settings)
    run = root / name
    run.mkdir(parents=True)
    (run / "config.json").write_text(config.to_json())
    lines = [
        {
            "epoch": epoch,
            "stage": "divide",
            "evaluated_on": "val",
            "recall@1": score,
            "map@r": score and score / 2,
            "steps": 0 if epoch < 0 else 10,
            "seconds_step": 1.5,
        }
        for epoch, score in enumerate(scores, -1)
    ]
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    (run / "metrics.jsonl").write_text(text)
    return run


def finish(run: Path, recall: float, map_at_r: float) -> Path:
    report = {"after": {"recall@1": recall, "map@r": map_at_r}, "intervals": {}}
    (run / "report.json").write_text(json.dumps(report))
    return run


def test_history_is_read_as_it_was_written(tmp_path: Path) -> None:
    (run,) = read_histories([finish(write(tmp_path, "a", [0.1, 0.6, 0.5]), 0.7, 0.3)])
    assert run.name == "a"
    assert run.best["epoch"] == 0
    assert run.steps == 20
    assert run.seconds["seconds_step"] == 4.5
    assert run.test == {"recall@1": 0.7, "map@r": 0.3}


def test_names_are_as_long_as_it_takes(tmp_path: Path) -> None:
    paths = [write(tmp_path, name, [0.1, 0.2]) for name in ("x/a", "y/a", "y/b")]
    assert [run.name for run in read_histories(paths)] == ["x/a", "y/a", "y/b"]
    assert [run.name for run in read_histories(paths[1:])] == ["a", "b"]


def test_runs_that_differ_by_their_seed_are_one_group(tmp_path: Path) -> None:
    scores = [0.1, 0.2]
    runs = read_histories(
        [
            write(tmp_path, "a", scores, num_clusters=1),
            write(tmp_path, "b", scores, num_clusters=1, random_seed=1, exp="1"),
            write(tmp_path, "c", scores, num_clusters=4),
        ]
    )
    assert {name: len(own) for name, own in group_runs(runs).items()} == {
        "a and 1 more": 2,
        "c": 1,
    }
    changed = changed_settings(runs)
    assert changed["num_clusters"] == [1, 1, 4]
    assert changed["random_seed"] == [0, 1, 0]
    assert "val_fraction" not in changed


def test_dividing_is_compared_with_one_cluster_of_the_same_seed(tmp_path: Path) -> None:
    def run(name: str, seed: int, count: int, best: float, **more) -> Path:
        options = {"num_clusters": count, "random_seed": seed, **more}
        return finish(write(tmp_path, name, [0.1, best], **options), best - 0.2, 0.1)

    runs = read_histories(
        [
            run("one-0", 0, 1, 0.5),
            run("one-1", 1, 1, 0.6),
            run("four-0", 0, 4, 0.55, embedding_lr=1e-3),
            run("four-1", 1, 4, 0.58, embedding_lr=1e-3),
            run("four-2", 2, 4, 0.9, embedding_lr=1e-3),
        ]
    )
    found = {(each.split, each.metric): each for each in gains(group_runs(runs))}
    gain = found["val", "recall@1"]
    assert gain.differences == pytest.approx([0.05, -0.02])
    assert gain.steps == 1
    assert gain.others == ["embedding_lr"]
    assert found["test", "recall@1"].differences == pytest.approx([0.05, -0.02])
    assert found["test", "map@r"].differences == [0, 0]


def test_other_data_are_not_compared(tmp_path: Path) -> None:
    config = Config(dataset="csv", data_dir="other", num_clusters=4)
    one, four = read_histories(
        [
            write(tmp_path, "one", [0.1, 0.2], num_clusters=1),
            write(tmp_path, "four", [0.1, 0.2], num_clusters=4),
        ]
    )
    other = RunHistory("other", four.run, config, four.history, None)
    assert gains({"one": [one], "other": [other]}) == []
    assert len(gains({"one": [one], "four": [four]})) == 2


def test_what_has_nothing_to_tell_is_refused(tmp_path: Path) -> None:
    run = write(tmp_path, "a", [0.1, 0.2])
    with pytest.raises(UsageError, match="named twice"):
        read_histories([run, run / ".." / "a"])
    with pytest.raises(ValueError, match="is not a run directory"):
        read_histories([tmp_path])
    with pytest.raises(ValueError, match="has not begun"):
        read_histories([write(tmp_path, "empty", [])])
    with pytest.raises(ValueError, match="no epoch was evaluated yet"):
        read_histories([write(tmp_path, "unscored", [0.1, None])])
