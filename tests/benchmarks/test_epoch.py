import dataclasses
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from benchmarks import epoch, photographs
from benchmarks.our_run import Clock, run
from dce_tf.config import Config
from dce_tf.datasets.csv_index import read_csv
from dce_tf.runs.session import build_schedule, check
from tests import fakes


def test_ratios_are_of_all_epochs_of_later_ones_and_of_the_whole() -> None:
    ours = {"seconds": [9.0, 2.0, 1.0], "recall@1": [0.1, 0.5], "whole": 20.0}
    theirs = {"seconds": [12.0, 6.0, 6.0], "recall@1": [0.1, 0.4], "whole": 30.0}
    table = epoch.make_table("title", {"ours": [ours], "reference": [theirs]})
    cells = [list(column.cells) for column in table.columns]
    assert [column[1] for column in cells] == [
        "reference",
        "24.0",
        "6.0",
        "30.0",
        "0.400",
        "0.100",
        "2.00 / 3.00 / 1.50",
    ]
    assert cells[-1][0] == "1.00 / 1.00 / 1.00"


@pytest.mark.parametrize("row", epoch.CASES)
def test_both_programs_know_every_setting(row: str) -> None:
    shared = epoch.settings(epoch.CASES[row], Path("data"))
    config = Config(**shared, dataset="csv", backbone="small")
    check(config)
    schedule = build_schedule(config.division)
    stages = [
        schedule.stage(number).value for number in range(config.division.num_epochs)
    ]
    assert stages == ["divide"] * (config.division.num_epochs - 1) + ["finetune"]
    assert all(
        schedule.reclusters(number) for number in range(config.division.num_epochs - 1)
    )
    pytest.importorskip("torch", reason="the reference program needs PyTorch")
    from benchmarks.reference.__main__ import parse

    backbone = epoch.CASES[row].backbone
    flags = [f"--{name}={value}" for name, value in shared.items()]
    given = vars(parse([*flags, f"--backbone={backbone}", "--steps=[1, 2]"]))
    assert {name: given[name] for name in shared} == shared
    assert given["steps"] == [1, 2]


def test_enlarged_photographs_keep_their_labels(tmp_path: Path) -> None:
    root = fakes.write_csv(tmp_path / "small", 4, 5)
    folder = tmp_path / "large"
    folder.mkdir()
    photographs.write_enlarged(root, folder, 90, 20)
    before, after = photographs.read_index(root), photographs.read_index(folder)
    assert len(after) == 20 < len(before)
    assert {row["split"] for row in after} == {"train", "test"}
    with Image.open(after[0]["path"]) as image:
        assert min(image.size) == 90
    read_csv(str(folder))


def test_long_list_is_as_long_as_wanted_and_has_two_images_a_class(
    tmp_path: Path,
) -> None:
    root = fakes.write_csv(tmp_path / "small", 4, 5)
    folder = tmp_path / "long"
    folder.mkdir()
    splits = read_csv(str(photographs.write_long_list(root, folder, 300, 60)))
    for images in (splits.train, splits.query):
        assert len(images) == 300
        assert set(np.bincount(images.labels)) == {5}
    assert splits.leave_one_out


def test_clock_counts_what_follows_an_epoch_to_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moments = iter([0.0, 2.0, 5.0, 6.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(moments))
    clock = Clock()
    assert isinstance(clock, keras.callbacks.Callback)
    clock.on_train_begin()
    clock.on_epoch_end(0, {"loss": 1})
    clock.on_epoch_end(1, {"loss": 2})
    clock.on_train_end()
    assert clock.moments == [0.0, 2.0, 6.0]
    assert clock.logs == [{"loss": 1}, {"loss": 2}]


def test_program_that_fails_is_told() -> None:
    with pytest.raises(RuntimeError, match=r"benchmarks\.nothing failed"):
        epoch._run("benchmarks.nothing")


@pytest.mark.slow
def test_our_run_says_what_it_took(tmp_path: Path) -> None:
    root = fakes.write_csv(tmp_path / "data", 8, 12, 32, ("train", "query", "gallery"))
    case = dataclasses.replace(epoch.CASES["input"], num_clusters=2, num_epochs=2)
    shared = {**epoch.settings(case, root), "batch_size": 16, "embedding_dim": 16}
    facts = run(Config(**epoch.our_settings(shared, Path("small"), tmp_path)))
    assert facts["divisions"] == 1
    assert len(facts["steps"]) == len(facts["seconds"]) == 2
    assert len(facts["recall@1"]) == 3
    assert {"seconds_step", "seconds_evaluate"} <= set(facts["parts"])
