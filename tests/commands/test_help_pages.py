"""What a command's help shows: in groups, most used first, defaults in words."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from absl import flags

from dce_tf.commands.finding import command_names, flags_of
from dce_tf.commands.help_pages import asked_help, write_help
from dce_tf.config import help_groups

ROOT = Path(__file__).parents[2]
GROUPS = [
    "data",
    "network",
    "division",
    "loss",
    "distillation",
    "optimiser",
    "evaluation",
    "run",
    "speed",
]


def help_of(name: str, which: str = "") -> str:
    values = flags.FlagValues()
    flags_of(name).define_flags(values)
    return write_help(name, values, which)


def shown(text: str) -> list[str]:
    return re.findall(r"^  --(\w+)", text, flags=re.MULTILINE)


@pytest.mark.parametrize(
    ("words", "which"),
    [
        (["--help"], ""),
        (["--num_clusters=4", "-h"], ""),
        (["--helpshort"], ""),
        (["--helpfull"], "all"),
        (["--help=all"], "all"),
        (["--help=network"], "network"),
        (["--helpful=1", "--dir=--help"], None),
    ],
)
def test_help_is_asked_for_as_absl_has_it(words: list[str], which: str | None) -> None:
    assert asked_help(words) == which


def test_help_of_all_shows_every_setting_once_in_its_group() -> None:
    full = help_of("train", "all")
    titles = re.findall(r"^([A-Z]\w+)$", full, flags=re.MULTILINE)
    assert titles == ["Train", *(group.capitalize() for group in GROUPS)]
    settings = [field.name for group in help_groups().values() for field in group]
    assert shown(full) == ["profile", *settings]
    assert len(settings) == len(set(settings)) > 80


def test_short_help_is_a_screen_of_the_flags_used_most() -> None:
    short = help_of("train")
    assert len(short.splitlines()) < 100
    assert {"dataset", "data_dir", "backbone", "num_clusters"} <= set(shown(short))
    assert "mask_penalty" not in shown(short)
    assert "--help=all shows every flag" in short


def test_help_of_one_group_shows_that_alone() -> None:
    named = [field.name for field in help_groups()["loss"]]
    assert shown(help_of("train", "loss")) == named


def test_sweep_shows_what_it_adds_to_train_first() -> None:
    assert shown(help_of("sweep"))[:3] == ["profile", "vary", "seeds"]


@pytest.mark.parametrize("name", command_names())
def test_defaults_are_words(name: str) -> None:
    text = help_of(name, "all")
    assert not re.search(r"\b(None|True|False)\b|\[\]", text)
    assert not re.search(r"Default: \.$", text, re.MULTILINE)
    blocks = re.split(r"^  --", text, flags=re.MULTILINE)[1:]
    assert len(blocks) == len(shown(text)) > 1
    for block in blocks:
        assert re.search(r"default:\s+\S", block, re.IGNORECASE), block


def test_defaults_of_what_a_run_settled_are_those_of_the_run() -> None:
    text = " ".join(help_of("evaluate").split())
    assert "Seed of everything random. Default: as in the run." in text
    assert "Where the data set lies. Default: as in the run." in text


def test_help_takes_less_than_half_a_second_of_processor() -> None:
    program = (
        "import time; from dce_tf import cli; cli.main(['train', '--help=all']); "
        "print(time.process_time())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(done.stdout.splitlines()[-1]) < 0.5
