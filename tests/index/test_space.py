"""A disk that is full: nothing is lost, and nothing stays that takes its last room."""

import contextlib
import errno
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dce_tf.index import build_collection, open_collection
from dce_tf.index.maps import MapPlan
from tests.index.conftest import DIM, FINGERPRINT, Place, found, many, record

WRITERS = [
    "dce_tf.index.building.RecordStore.snapshot",
    "dce_tf.index.building.np.lib.format.write_array_header_1_0",
    "dce_tf.index.building.Structure.write",
    "dce_tf.index.building.write_text",
    "dce_tf.index.building.os.fsync",
    "dce_tf.index.building.describe_file",
    "dce_tf.index.manifest.write_json",
]


@pytest.mark.parametrize("writer", WRITERS)
def test_rebuild_that_fails_removes_what_it_began(
    local: Place, folder: Path, monkeypatch: pytest.MonkeyPatch, writer: str
) -> None:
    local.make(many(50), kind="hnsw", map_plan=MapPlan(points=10, clusters=2))
    opened = local.open()
    opened.upsert([record("new", 99)])
    before = {path.name for path in folder.iterdir()}

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(writer, fail)
        with pytest.raises(OSError, match="No space left"):
            opened.rebuild()
    assert {path.name for path in folder.iterdir()} == before
    assert found(opened, 99)[0] == "new"
    opened.upsert([record("newer", 98)])
    opened.rebuild()
    assert opened.describe()["since_build"] == 0
    assert found(opened, 98)[0] == "newer"
    opened.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)]
    with contextlib.suppress(FileNotFoundError):
        done = subprocess.run(mount, check=False, capture_output=True)
        if done.returncode == 0:
            try:
                yield disk
            finally:
                subprocess.run(["umount", "-l", str(disk)], check=True)
            return
    pytest.skip("no small disk can be mounted: that takes root")


@pytest.mark.parametrize("kind", ["exact", "hnsw", "binary(bits=64)"])
def test_rebuild_on_a_disk_too_small_leaves_room_for_records(
    small_disk: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    folder = small_disk / "things"
    build_collection(
        folder,
        [many(3000)],
        fingerprint=FINGERPRINT,
        embedding_dim=DIM,
        kind=kind,
        map_plan=MapPlan(points=5, clusters=2),
    )
    opened = open_collection(str(folder))
    request.addfinalizer(opened.close)
    left = small_disk / "left"
    with left.open("wb", buffering=0) as file:
        with contextlib.suppress(OSError):
            while file.write(bytes(4096)):
                pass
        # Enough for a record, and not for a build.
        file.truncate(left.stat().st_size - 16 * 4096)
    names = {path.name for path in folder.iterdir()}
    for _ in range(3):
        with pytest.raises(OSError, match="No space left") as error:
            opened.rebuild()
        assert error.value.errno == errno.ENOSPC
        assert {path.name for path in folder.iterdir()} == names
    opened.upsert([record("new", 99)])
    left.unlink()
    opened.rebuild()
    assert found(opened, 99)[0] == "new"


def test_records_that_find_no_room_are_told_with_the_error_number(
    local: Place,
) -> None:
    local.make(many(3))
    opened = local.open()
    opened._store._writer.execute("PRAGMA max_page_count = 20")
    with pytest.raises(OSError, match="make room") as error:
        opened.upsert(
            [record(f"n{n}", n, metadata={"t": "x" * 9000}) for n in range(50)]
        )
    assert error.value.errno == errno.ENOSPC
    assert len(opened) == 3
    opened.close()
