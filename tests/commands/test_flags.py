"""What a command takes is known before anything heavy is loaded."""

import subprocess
import sys
from pathlib import Path

import pytest
from absl import flags

from dce_tf import cli, commands
from dce_tf.embedding.image_list import SPLITS
from dce_tf.export import EXPORT_FORMATS
from dce_tf.index.kinds import KINDS
from dce_tf.index.maps import METHODS, MapPlan
from dce_tf.retrieval.rerankers import RERANKERS
from dce_tf.sweep.variants import METRICS

ROOT = Path(__file__).parents[2]
# Each command line in turn, and what it loaded of what takes seconds.
PROGRAM = """
import contextlib, io, sys
from dce_tf import cli, commands
heavy = ("tensorflow", "keras", "faiss", "matplotlib", "sklearn", "pandas", "rich")
for name in cli.command_names():
    for word, code in (("--help", 0), ("--verbos", 2)):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            found = cli.main([name, word])
        loaded = [module for module in heavy if module in sys.modules]
        said = "Flags:" in out.getvalue() or "mean '--verbose'?" in err.getvalue()
        print(name, word, found == code, said, loaded)
"""


def flag(command: str, name: str) -> flags.Flag:
    values = flags.FlagValues()
    cli.flags_of(command).define_flags(values)
    return values[name]


def test_help_and_mistyped_flags_load_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    expected = [
        f"{name} {word} True True []"
        for name in cli.command_names()
        for word in ("--help", "--verbos")
    ]
    assert done.stdout.splitlines() == expected


@pytest.mark.parametrize(
    ("command", "name", "choices"),
    [
        ("embed", "split", SPLITS),
        ("index", "map", (*METHODS, "none")),
        ("sweep", "rank_by", METRICS),
    ],
)
def test_choices_are_those_of_the_code(
    command: str, name: str, choices: tuple[str, ...]
) -> None:
    assert tuple(flag(command, name).parser.enum_values) == tuple(choices)


@pytest.mark.parametrize(
    ("command", "name", "known"),
    [
        ("export", "format", EXPORT_FORMATS),
        ("evaluate", "rerank", RERANKERS),
        ("index", "kind", KINDS),
    ],
)
def test_help_names_everything_registered(
    command: str, name: str, known: object
) -> None:
    listed = flag(command, name).help
    assert [each for each in known if each not in listed] == []


def test_defaults_of_the_map_are_those_of_its_plan() -> None:
    assert flag("index", "map_points").default == MapPlan.points
    assert flag("index", "map_clusters").default == MapPlan.clusters


def test_every_command_has_flags_and_work() -> None:
    folder = Path(commands.__path__[0])
    work = {path.stem for path in folder.glob("*.py") if "def run(" in path.read_text()}
    assert {name.rstrip("_") for name in work} == set(cli.command_names())
