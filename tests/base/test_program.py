from pathlib import Path

import pytest

from dce_tf import __version__, cli
from dce_tf.base import program
from dce_tf.base.program import find_program


@pytest.mark.parametrize(
    ("started", "name"),
    [
        ("main.py", "python main.py"),
        ("/src/dce_tf/main.py", "python main.py"),
        ("/usr/local/bin/dce-tf", "dce-tf"),
        ("C:/Scripts/dce-tf.exe", "dce-tf"),
        ("-c", "dce-tf"),
        ("/usr/bin/pytest", "dce-tf"),
        ("", "dce-tf"),
    ],
)
def test_installed_program_is_called_as_it_was_started(
    started: str, name: str, tmp_path: Path
) -> None:
    assert find_program(started, tmp_path / "dce_tf") == name


def test_library_in_a_checkout_names_main_py(tmp_path: Path) -> None:
    (tmp_path / "main.py").touch()
    assert find_program("-c", tmp_path / "dce_tf") == "python main.py"
    assert find_program("/usr/bin/dce-tf", tmp_path / "dce_tf") == "dce-tf"


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("dce-tf", "`pip install 'dce-tf[serve]'`"),
        ("python main.py", "`pip install '.[serve]'`"),
    ],
)
def test_extra_is_installed_from_where_the_program_is(
    name: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "PROGRAM", name)
    assert program.tell_to_install("serve") == command


def test_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"dce-tf {__version__}\n"
