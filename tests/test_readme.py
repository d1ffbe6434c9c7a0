"""The README does what it says."""

import importlib
import re
from pathlib import Path

import numpy as np
import pytest

from tests import fakes

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_ci_runs_the_test_command() -> None:
    command = re.search(r"pip install .*&& python -m pytest", README).group()
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert command.removeprefix("pip install ") in script


@pytest.mark.slow
def test_keras_example_runs(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(blocks) == 3
    fakes.write_folder(tmp_path, num_classes=6, images_per_class=8)
    space: dict = {}
    for block in blocks:
        exec(block.replace("DIR", str(tmp_path)), space)
    images = np.zeros((8, 64, 64, 3), np.float32)
    labels = np.repeat(np.arange(4), 2)[:, None]
    space["plain"].fit(images, labels, batch_size=8, verbose=0)


def test_every_flag_named_exists() -> None:
    from absl import flags

    from dce_tf import cli, commands

    known = {"help", "flagfile", "csv", "logdir", "slow"}
    for name in cli.command_names():
        values = flags.FlagValues()
        module = importlib.import_module(f"{commands.__name__}.{cli.module_of(name)}")
        module.define_flags(values)
        known |= set(values)
    programs = ("serving/client_commands.py", "benchmarks/*.py", "launch/*.py")
    for program in (path for glob in programs for path in ROOT.glob(glob)):
        known |= set(re.findall(r'"--([a-z_]+)"', program.read_text(encoding="utf-8")))
    named = {
        name.replace("-", "_")
        for page in PAGES
        for name in re.findall(r"--([a-z][a-z_-]+)", page.read_text(encoding="utf-8"))
    }
    # Flags of git, pip and the like do not occur.
    assert {name for name in named if name.removeprefix("no") not in known} <= known
