"""What `python -m pytest` leaves out: chosen by how long it takes, and all there."""

import ast
import json
from pathlib import Path

import pytest

from tests import longer
from tests.longer import Function

ROOT = Path(__file__).parents[1]


def write_times(folder: Path) -> None:
    lines = [
        {"shared": "tests:trained", "seconds": 4.0},
        {"test": "tests/a.py::test_uses", "seconds": 0.1, "uses": ["tests:trained"]},
        {"test": "tests/a.py::test_quick[1]", "seconds": 0.05, "uses": []},
        {"test": "tests/a.py::test_quick[2]", "seconds": 0.1, "uses": ["tmp_path"]},
        {"test": "tests/b.py::test_long", "seconds": 3.0, "uses": []},
    ]
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    (folder / "gw0.jsonl").write_text(text)
    (folder / "gw1.jsonl").write_text(
        json.dumps({"test": "tests/b.py::test_other[x]", "seconds": 1.0, "uses": []})
    )


def test_what_is_long_or_shares_what_is_long_is_left_out(tmp_path: Path) -> None:
    write_times(tmp_path)
    functions, shared = longer.read_times(tmp_path)
    assert functions["tests/a.py::test_quick"] == Function(
        pytest.approx(0.15), 0.1, {"tmp_path"}
    )
    # All of a file is left out by its name, so that it is not even imported.
    assert longer.choose(functions, shared) == ["tests/a.py::test_uses", "tests/b.py"]


def test_many_short_tests_of_a_file_are_long() -> None:
    functions = {
        f"tests/a.py::test_{number}": Function(seconds, 0.1, set())
        for number, seconds in enumerate((3.0, 2.5, 1.0))
    }
    assert longer.choose(functions, {}) == ["tests/a.py::test_0"]


def test_list_names_what_there_is() -> None:
    assert longer.read_list()
    for name in sorted(longer.read_list()):
        file, _, function = name.partition("::")
        path = ROOT / file
        assert path.is_file(), name
        if function:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            nodes = ast.walk(tree)
            defined = {n.name for n in nodes if isinstance(n, ast.FunctionDef)}
            assert function.rpartition("::")[2] in defined, name
