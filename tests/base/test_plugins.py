import re
import sys
from pathlib import Path

import pytest

from dce_tf.base.errors import UsageError
from dce_tf.base.plugins import installed_plugins, items_of, load_plugins, names_of
from dce_tf.callbacks import CALLBACKS

pytestmark = pytest.mark.usefixtures("forgets_plugins")

IDEA = """
import keras
from dce_tf.callbacks import CALLBACKS

@CALLBACKS.register("{name}")
class Idea(keras.callbacks.Callback):
    "Does what I want."

    def __init__(self, often: int = 2) -> None:
        super().__init__()
        self.often = often
"""


def write(path: Path, text: str = "", name: str = "mine") -> str:
    path.write_text(text or IDEA.format(name=name))
    return str(path)


def test_file_registers_what_flags_can_name(tmp_path: Path) -> None:
    load_plugins(write(tmp_path / "idea_one.py"))
    assert CALLBACKS.build("mine(often=5)").often == 5
    assert CALLBACKS.origin("mine") == "idea_one"
    assert CALLBACKS.origin("mlflow") is None


def test_each_is_loaded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "idea_one.py")
    monkeypatch.chdir(tmp_path)
    for spec in ("idea_one.py", "./idea_one.py", str(tmp_path / "idea_one.py")):
        load_plugins(spec)
    assert "mine" in CALLBACKS


def test_several_stand_between_commas(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"idea_{n}.py", name=f"mine_{n}") for n in "ab"]
    load_plugins(", ".join(paths))
    assert {"mine_a", "mine_b"} <= set(CALLBACKS)


def test_module_and_package_are_found_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "idea_package").mkdir()
    write(tmp_path / "idea_package" / "__init__.py", "from idea_package import inner")
    write(tmp_path / "idea_package" / "inner.py")
    load_plugins("idea_package")
    assert CALLBACKS.origin("mine") == "idea_package.inner"


def test_module_that_was_imported_before_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    write(tmp_path / "idea_one.py")
    __import__("idea_one")
    load_plugins("idea_one")
    load_plugins(str(tmp_path / "idea_one.py"))


def test_entry_point_of_an_installed_package_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "idea_one.py")
    info = tmp_path / "ideas-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ideas\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[dce_tf.plugins]\nideas = idea_one\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert installed_plugins()["ideas"] == "idea_one"
    load_plugins("ideas")
    assert CALLBACKS.origin("mine") == "idea_one"
    with pytest.raises(UsageError, match=r"Did you mean 'ideas'\?.*here: .*ideas"):
        load_plugins("idea")


def test_neighbours_of_a_file_can_be_imported(tmp_path: Path) -> None:
    write(tmp_path / "idea_neighbour.py")
    load_plugins(write(tmp_path / "idea_one.py", "import idea_neighbour"))
    assert "mine" in CALLBACKS


def test_layer_registered_for_keras_is_enough(tmp_path: Path) -> None:
    text = """
import keras

@keras.saving.register_keras_serializable(package="ideas")
class Double(keras.layers.Layer):
    def call(self, x):
        return 2 * x
"""
    load_plugins(write(tmp_path / "idea_layer.py", text))


def test_script_may_load_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "idea_script.py")
    code = compile(Path(path).read_text(), path, "exec")
    exec(code, {"__name__": "__main__"})
    load_plugins(path)
    assert CALLBACKS.origin("mine") == "idea_script"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import there_is_no_such_module", "No module named 'there_is_no_such_module'"),
        ("x = 1\ny = x / 0", r"division by zero \(ZeroDivisionError; idea_one.py, li"),
        ("def broken(:", r"\(SyntaxError; idea_one.py, line 1\)"),
        ("raise SystemExit(3)", "SystemExit"),
        (IDEA.format(name="mlflow"), "'mlflow' is registered twice, by dce_tf.callb"),
        (2 * IDEA.format(name="mine"), "'mine' is registered twice, by idea_one and"),
    ],
)
def test_file_that_does_not_import_is_named_with_the_line(
    tmp_path: Path, text: str, expected: str
) -> None:
    path = write(tmp_path / "idea_one.py", text)
    with pytest.raises(UsageError, match=expected) as error:
        load_plugins(path)
    assert str(error.value).startswith(f"--plugin={path} does not import: ")
    assert "Mend it, or leave the flag out" in str(error.value)


def test_file_that_failed_can_be_mended_and_loaded(tmp_path: Path) -> None:
    path = write(tmp_path / "idea_one.py", IDEA.format(name="mine") + "\n1 / 0")
    with pytest.raises(UsageError, match="division"):
        load_plugins(path)
    assert "mine" not in CALLBACKS
    assert "idea_one" not in sys.modules
    write(Path(path))
    load_plugins(path)
    assert "mine" in CALLBACKS


def test_file_that_registers_nothing_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = write(tmp_path / "idea_one.py", "x = 1")
    with pytest.raises(UsageError, match=r"registers nothing.*@LOSSES\.register"):
        load_plugins(path)


@pytest.mark.parametrize("name", ["nothing.py", "folder/nothing.py", "folder/"])
def test_file_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(
        UsageError, match=f"--plugin={name.rstrip('/')}: there is no such file"
    ):
        load_plugins(name)


def test_name_that_is_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match=r"is no file.*no module.*no entry point"):
        load_plugins("idea_that_is_nothing")


@pytest.mark.parametrize("name", ["keras.py", "json.py", "no-name.py"])
def test_file_with_the_name_of_another_module_is_refused(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(UsageError, match="Rename the file"):
        load_plugins(write(tmp_path / name))


def test_file_that_is_no_python_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=re.escape("expected a file of Python")):
        load_plugins(write(tmp_path / "idea_text.txt", "hello"))


def test_names_are_those_of_files_wherever_they_lie() -> None:
    assert items_of(" a.py, ,b ") == ["a.py", "b"]
    assert items_of(None) == items_of("") == []
    assert names_of("/x/idea.py,b") == names_of("b, idea.py") == ["b", "idea"]
    assert names_of(None) == []
