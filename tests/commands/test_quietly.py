"""What a person sees as TensorFlow loads: nothing of it, unless it fails."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.slow import rest_is_slow

ROOT = Path(__file__).parents[2]


def run(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith("TF_")
    }
    return subprocess.run(
        [sys.executable, ROOT / "main.py", *words],
        cwd=folder,
        env={**kept, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("words", "message"),
    rest_is_slow(
        [
            # Loads TensorFlow late: scores of a .npy need none.
            (
                ("evaluate", "here.keras", "--dataset=glyphs"),
                "here.keras: cannot be read",
            ),
            (("train", "--dataset=csv", "--data_dir=nowhere"), "nowhere"),
        ]
    ),
)
def test_errors_stand_alone(
    tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    (tmp_path / "here.keras").write_text("no model")
    done = run(tmp_path, *words)
    assert done.returncode != 0
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: ")
    assert message in line


def test_what_breaks_tensorflow_is_shown(tmp_path: Path) -> None:
    broken = tmp_path / "broken" / "tensorflow"
    broken.mkdir(parents=True)
    text = "import os\nos.write(2, b'no such library')\nraise ImportError('libx')\n"
    (broken / "__init__.py").write_text(text)
    words = ("train", "--dataset=csv", "--data_dir=nowhere")
    done = run(tmp_path, *words, PYTHONPATH=str(broken.parent))
    assert done.returncode != 0
    assert "no such library" in done.stderr
    assert "libx" in done.stderr
