"""A search for broken images that found none is not made again."""

import os
from pathlib import Path

import pytest

from dce_tf.images.looked_at import LookedAt


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    files = [tmp_path / f"{name}.jpg" for name in ("a", "b \udcff")]
    for file in files:
        file.write_bytes(b"12345")
    return [*map(str, files), str(tmp_path / "gone.jpg")]


def test_it_is_known_while_nothing_changes(tmp_path: Path, paths: list[str]) -> None:
    folder = tmp_path / "looked"
    assert not LookedAt(folder, paths, 100).are_sound
    LookedAt(folder, paths, 100).keep()
    assert LookedAt(folder, paths, 100).are_sound


def test_any_change_has_them_looked_at_again(tmp_path: Path, paths: list[str]) -> None:
    folder, first = tmp_path / "looked", Path(paths[0])
    LookedAt(folder, paths, 100).keep()
    assert not LookedAt(folder, paths, 101).are_sound
    assert not LookedAt(folder, paths[:2], 100).are_sound
    assert not LookedAt(folder, paths[::-1], 100).are_sound
    kept = first.stat()
    os.utime(first, ns=(kept.st_atime_ns, kept.st_mtime_ns + 1))
    assert not LookedAt(folder, paths, 100).are_sound
    os.utime(first, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    assert LookedAt(folder, paths, 100).are_sound
    first.write_bytes(b"123456")
    os.utime(first, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    assert not LookedAt(folder, paths, 100).are_sound
    Path(paths[2]).write_bytes(b"")
    assert not LookedAt(folder, paths, 100).are_sound


def test_a_folder_that_cannot_be_written_is_done_without(
    tmp_path: Path, paths: list[str]
) -> None:
    (tmp_path / "file").write_bytes(b"")
    looked = LookedAt(tmp_path / "file" / "looked", paths, 100)
    looked.keep()
    assert not looked.are_sound
