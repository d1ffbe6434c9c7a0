from pathlib import Path

import pytest

from dce_tf.export import resolve_version


def write_version(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").touch()
    return folder


def test_newest_whole_version_is_meant(tmp_path: Path) -> None:
    run = tmp_path / "run"
    write_version(run / "export" / "9")
    newest = write_version(run / "export" / "10")
    (run / "export" / "11").mkdir()
    (run / "export" / "latest").mkdir()
    (run / "config.json").touch()
    for path in (run, run / "export", newest):
        assert resolve_version(path) == resolve_version(str(path)) == newest
    assert resolve_version(run / "export" / "9").name == "9"


def test_what_is_no_version_is_refused(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / "config.json").touch()
    file = tmp_path / "model.keras"
    file.touch()
    (tmp_path / "empty").mkdir()
    for path, found in (
        (run, "no folder export/"),
        (tmp_path / "nowhere", "no folder nowhere/"),
        (file, "a file"),
        (tmp_path / "empty", "nothing in"),
        (tmp_path, "empty, model.keras, run in"),
    ):
        with pytest.raises(ValueError, match=found) as caught:
            resolve_version(path)
        assert "`python main.py export RUN`" in str(caught.value)
