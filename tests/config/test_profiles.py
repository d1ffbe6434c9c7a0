"""Every recipe, through the real command line."""

import re

import pytest

from dce_tf import cli
from dce_tf.base.errors import UsageError
from dce_tf.commands import data, train
from dce_tf.config import Config, from_flags
from dce_tf.config.profiles import (
    ANY,
    RECIPES,
    find_recipe,
    measured_cost,
    profiles,
)
from dce_tf.datasets import DATASETS
from dce_tf.runs.session import check
from tests import fakes

FILES = sorted(RECIPES.glob("*.flags"))
STATED = ("Command", "Hardware", "Hours", "Expected", "Measured")


def words(path) -> list[str]:
    """Returns the flags with which a user asks for a recipe."""
    profile, dash, dataset = path.stem.partition("-")
    if not dash:
        return [f"--dataset={profile}"]
    dataset = "csv" if dataset == ANY else dataset
    return [f"--profile={profile}", f"--dataset={dataset}", "--data_dir=DIR"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_recipe_is_read_and_can_work(path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict] = []
    monkeypatch.setattr(train, "run", lambda settings, _: given.append(settings) or 0)
    assert cli.main(words(path)) == 0
    config = from_flags(given[0])
    check(config)  # Every name in it is known, and every combination works.
    lines = path.read_text(encoding="utf-8").splitlines()
    for line in lines:
        if line.startswith("--"):
            name, _, text = line[2:].partition("=")
            value = config.as_dict()[name]
            assert str(value) == text or float(value) == float(text or value), line


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_recipe_states_what_it_costs_and_gives(path) -> None:
    text = path.read_text(encoding="utf-8")
    for what in STATED:
        assert re.search(rf"^# {what}: +\S", text, re.MULTILINE), what
    measured = re.search(r"^# Measured: +(yes|no)", text, re.MULTILINE)
    assert measured, "Measured: yes, with the date, or no"
    command = re.search(r"^# Command: +python main.py(.*)", text, re.MULTILINE)
    assert command
    asked = [word.partition("=")[0] for word in command[1].split()]
    assert set(asked) >= {w.partition("=")[0] for w in words(path) if "profile" in w}


def test_there_are_the_two_papers_for_their_data_sets() -> None:
    papers = ["cars", "cub", "inshop", "sop", "vid"]
    assert profiles()["paper2019"] == profiles()["paper2021"] == papers
    assert find_recipe("paper2019", "vid(size='small')") == find_recipe(
        "paper2019", "vid"
    )


def test_flags_win_over_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict] = []
    monkeypatch.setattr(train, "run", lambda settings, _: given.append(settings) or 0)
    cli.main(["--num_clusters=2", "--profile=paper2019", "--dataset=sop"])
    assert given[0]["num_clusters"] == 2
    assert given[0]["full_embedding_epoch"] == 80
    for words in (["--loss=proxy_anchor"], ["--miner=hard"]):
        cli.main([*words, "--profile=paper2019", "--dataset=sop"])
        check(from_flags(given[-1]))


@pytest.mark.parametrize(
    ("profile", "dataset", "message"),
    [
        ("paper219", "sop", "Did you mean 'paper2019'"),
        ("paper2019", "glyphs", "only for cars, cub, inshop, sop, vid"),
    ],
)
def test_names_what_cannot_be(profile: str, dataset: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        find_recipe(profile, dataset)


@pytest.mark.parametrize("dataset", ["csv", "folder"])
def test_ones_own_data_have_the_plain_settings_and_are_not_divided(
    dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[dict] = []
    monkeypatch.setattr(train, "run", lambda settings, _: given.append(settings) or 0)
    assert find_recipe("default", dataset) is None
    assert cli.main([f"--dataset={dataset}"]) == 0
    assert from_flags(given[0]) == Config(dataset=dataset)
    assert given[0]["num_clusters"] == 1


@pytest.mark.parametrize("dataset", list(DATASETS))
def test_best_is_there_for_every_reader(
    dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[dict] = []
    monkeypatch.setattr(train, "run", lambda settings, _: given.append(settings) or 0)
    spec = "mix(csv=a, glyphs)" if dataset == "mix" else dataset
    assert cli.main(["--profile=best", f"--dataset={spec}"]) == 0
    assert given[0]["dataset"] == spec
    assert given[0]["loss"] == "multi_similarity"
    assert given[0]["num_clusters"] == 1
    check(from_flags(given[0]))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--stages=divide:0.5,whole:0.5"], {"finetune_epoch": None}),
        (["--max_steps=300"], {"cluster_batches": "share", "num_epochs": 8}),
        (["--finetune_epoch=7"], {"full_embedding_epoch": 4, "finetune_epoch": 7}),
        (["--cluster_batches=min"], {"cluster_batches": "min"}),
    ],
)
def test_recipe_gives_way_to_what_says_the_same_otherwise(
    words: list[str], expected: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[dict] = []
    monkeypatch.setattr(train, "run", lambda settings, _: given.append(settings) or 0)
    assert cli.main(words) == 0
    assert {name: given[0][name] for name in expected} == expected
    check(from_flags(given[0]))


def test_what_the_command_line_says_twice_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(train, "run", lambda settings, _: from_flags(settings) and 0)
    assert cli.main(["--stages=divide:1", "--finetune_epoch=3"]) == 2
    assert "Pass one or the other" in capsys.readouterr().err


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_cost_is_told_where_it_was_measured(path) -> None:
    cost = measured_cost(path)
    measured = "# Measured:  yes" in path.read_text(encoding="utf-8")
    assert (cost is not None) is measured
    if cost is not None:
        pattern = r"took [\d.]+ hours with .*, [\d.]+ GB of memory \(20\d\d-.*estimate"
        assert re.search(pattern, cost)


def test_data_tells_what_a_measured_recipe_costs(
    tmp_path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = RECIPES / "glyphs.flags"
    monkeypatch.setattr(data, "find_recipe", lambda *_: recipe)
    fakes.write_csv(tmp_path, 3, 2)
    assert cli.main(["data", "--dataset=csv", f"--data_dir={tmp_path}"]) == 0
    assert f"\n{measured_cost(recipe)}\n" in capsys.readouterr().out
