import importlib
from pathlib import Path
from types import SimpleNamespace

import keras
import pytest

from dce_tf.base.errors import UsageError
from dce_tf.callbacks import build_callbacks, specs_of, tell_report


def test_several_are_named_with_commas() -> None:
    assert specs_of("a(x=(1, 2), y='p,q'), b") == ["a(x=(1, 2), y='p,q')", "b"]
    assert specs_of("") == []


def test_unknown_name_and_option_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"Did you mean 'mlflow'.*--plugin"):
        build_callbacks("mlfow", tmp_path, {})
    with pytest.raises(UsageError, match=r"no option 'experimnt'.*'experiment'"):
        build_callbacks("mlflow(experimnt=a)", tmp_path, {})


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_missing_package_is_named_with_what_installs_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = importlib.import_module

    def without(module: str):
        if module.partition(".")[0] == name:
            raise ImportError(f"No module named {module!r}", name=module)
        return original(module)

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(UsageError, match=rf"--callback={name} needs.*'\.\[{name}"):
        build_callbacks(name, tmp_path, {})
    assert not list(tmp_path.iterdir())


def test_report_is_told_to_those_who_want_it() -> None:
    told = []
    wants = SimpleNamespace(on_report=told.append)
    tell_report([keras.callbacks.Callback(), wants], {"best_epoch": 2})
    assert told == [{"best_epoch": 2}]
