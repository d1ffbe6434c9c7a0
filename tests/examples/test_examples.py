"""Each script of examples/ runs as its first line says, and is short."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import fakes

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "examples").glob("*.py"))


def test_there_are_examples() -> None:
    assert "fit.py" in [path.name for path in SCRIPTS]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_example_has_under_forty_lines(script: Path) -> None:
    assert len(script.read_text(encoding="utf-8").splitlines()) < 40


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_example_runs_as_its_first_line_says(script: Path, tmp_path: Path) -> None:
    first = script.read_text(encoding="utf-8").splitlines()[0]
    command = re.search(rf"python examples/{script.name}(.*?)\.(?:\"\"\")?$", first)
    assert command, f"{script.name} does not say how it is run: {first}"
    (tmp_path / "images").mkdir()
    fakes.write_folder(tmp_path / "images", num_classes=6, images_per_class=8)
    words = [word.replace("DIR", "images") for word in command[1].split()]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"}
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", str(script), *words],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
