import errno
import fcntl
from pathlib import Path

import numpy as np
import pytest

from dce_tf.base.files import (
    array_on_disk,
    becoming,
    locked,
    replacing,
    write_json,
)
from tests.synced import Synced


def test_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "a.json"
    write_json(path, {"a": 1})
    write_json(path, {"a": 2})
    assert path.read_text() == '{\n  "a": 2\n}\n'
    assert list(path.parent.iterdir()) == [path]


def test_who_reads_the_old_file_never_meets_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with path.open() as reader:
        with replacing(path) as temporary:
            temporary.write_text("new and longer")
            inode = temporary.stat().st_ino
        # A copy would write into the file that is being read.
        assert reader.read() == "old"
    assert path.stat().st_ino == inode
    assert path.read_text() == "new and longer"


def test_file_is_on_the_disk_before_it_takes_its_place(
    tmp_path: Path, synced: list[Synced], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    replace = Path.replace

    def renamed(temporary: Path, target: Path) -> Path:
        assert Synced.of(temporary) in synced, "a power cut would leave an empty file"
        return replace(temporary, target)

    monkeypatch.setattr(Path, "replace", renamed)
    write_json(path, {"a": 1})
    assert Synced.of(path) in synced


def fail_half_way(path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")


def test_failure_keeps_the_old_file_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(
        OSError,
        match=r"a\.txt cannot be written: No space left.*the same command goes on",
    ):
        fail_half_way(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_temporary_keeps_the_suffix(tmp_path: Path) -> None:
    with replacing(tmp_path / "model.keras") as temporary:
        assert temporary.name.endswith("model.keras")
        temporary.write_text("x")


def test_array_on_disk_leaves_no_file(tmp_path: Path) -> None:
    array = array_on_disk(tmp_path / "new", (3, 4))
    assert isinstance(array, np.memmap)
    assert (array.dtype, array.shape, array.any()) == (np.float32, (3, 4), False)
    array[1] = 7
    assert array.sum() == 28
    assert list((tmp_path / "new").iterdir()) == []


def test_array_on_disk_that_has_no_room_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int, start: int, size: int) -> None:
        assert (start, size) == (0, 4 * 5 * 6)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(OSError, match=r"No space.*Make room, or name another folder"):
        array_on_disk(tmp_path, (5, 6))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("code", "reason"),
    [(errno.EROFS, "Read-only file system"), (errno.EACCES, "Permission denied")],
)
def test_folder_that_is_refused_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, reason: str
) -> None:
    def refused(path: Path, **_: object) -> None:
        raise OSError(code, reason, str(path))

    monkeypatch.setattr(Path, "mkdir", refused)
    with (
        pytest.raises(OSError, match=rf"run cannot be written: {reason}.*name another"),
        locked(tmp_path / "run" / "lock", "held"),
    ):
        pass


def test_folder_within_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(OSError, match=r"run cannot be written: Not a directory"),
        locked(tmp_path / "file" / "run" / "lock", "held"),
    ):
        pass


def test_lock_that_is_removed_while_it_is_taken_is_taken_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, take, calls = tmp_path / "lock", fcntl.flock, []

    def removed_first(file: object, how: int) -> None:
        if not calls:
            path.unlink()  # Whoever held it is done, and has left nothing behind.
        calls.append(how)
        take(file, how)

    monkeypatch.setattr(fcntl, "flock", removed_first)
    with locked(path, "held"):
        assert path.is_file()
        with pytest.raises(ValueError, match="held"), locked(path, "held"):
            pass


def test_folder_that_cannot_take_its_place_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "old").touch()
    rename = Path.rename

    def fail(path: Path, target: Path) -> Path:
        if path.name == "fresh":
            raise OSError("broken")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="broken"), becoming(folder) as fresh:
        (fresh / "new").touch()
    assert [path.name for path in folder.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [folder]
