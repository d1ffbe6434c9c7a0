"""Every recipe, through the real command line."""

import re

import pytest

from dce_tf import cli
from dce_tf.commands import train
from dce_tf.config import from_flags
from dce_tf.errors import UsageError
from dce_tf.profiles import RECIPES, find_recipe, profiles
from dce_tf.runs.session import check

FILES = sorted(RECIPES.glob("*.flags"))
STATED = ("Command", "Hardware", "Hours", "Expected", "Measured")


def words(path) -> list[str]:
    """Returns the flags with which a user asks for a recipe."""
    profile, dash, dataset = path.stem.partition("-")
    if not dash:
        return [f"--dataset={profile}"]
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
            value = getattr(config, name)
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


def test_a_data_set_without_a_recipe_has_the_plain_settings() -> None:
    assert find_recipe("default", "csv") is None
