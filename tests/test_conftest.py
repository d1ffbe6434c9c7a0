"""The tests of one folder can be asked for, and their modules be imported."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_a_folder_that_imports_tensorflow_early_can_be_asked_for() -> None:
    command = [sys.executable, "-m", "pytest", "--collect-only", "--quiet"]
    done = subprocess.run(
        [*command, "tests/serving/test_dashboard.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_test_imports_it() -> None:
    # A process that a test spawns imports the test's module, and TensorFlow first.
    importing = [
        str(path)
        for path in (ROOT / "tests").rglob("*.py")
        if "from tests.conftest" in path.read_text() and path != Path(__file__)
    ]
    assert importing == []
