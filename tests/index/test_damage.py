import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from dce_tf.index.manifest import Manifest
from tests.index.conftest import Place, found, many, record, unit


def changed(folder: Path, **values: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: changed(folder, format=99), "found format 99; expected 1"),
        (lambda folder: changed(folder, more=1), "not complete"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "cannot be read"),
    ],
)
def test_manifest_of_another_make_is_refused(
    local: Place, folder: Path, spoil: Callable, message: str
) -> None:
    local.make()
    spoil(folder)
    with pytest.raises(ValueError, match=message):
        local.open()


@pytest.mark.parametrize("name", ["vectors-1.npy", "rows-1.npy", "search-1.faiss"])
@pytest.mark.parametrize("missing", [False, True])
def test_damaged_structure_is_made_anew(
    local: Place, folder: Path, name: str, missing: bool
) -> None:
    local.make(many(300), kind="hnsw")
    opened = local.open()
    opened.upsert([record("new", 500)])
    opened.delete([3])
    opened.close()
    path = folder / name
    if missing:
        path.unlink()
    else:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    with pytest.warns(UserWarning, match=f"{name} is .*one by one"):
        opened = local.open(read_only=True)
    assert (found(opened, 500)[0], len(opened)) == ("new", 300)
    opened.close()
    with pytest.warns(UserWarning, match=f"{name} is .*Making it anew"):
        opened = local.open()
    assert (found(opened, 500)[0], len(opened)) == ("new", 300)
    assert 3 not in found(opened, 3)
    opened.close()
    opened = local.open()
    assert opened.describe()["since_build"] == 0
    opened.close()
    assert Manifest.read(folder).problem_with(folder) is None
    assert not path.exists()


@pytest.mark.parametrize("content", [b"", b"no data base" * 1000])
def test_damaged_records_are_named(local: Place, folder: Path, content: bytes) -> None:
    local.make(many(3))
    (folder / "records.sqlite").write_bytes(content)
    with pytest.raises(ValueError, match=r"records\.sqlite.*anew with .*or put a copy"):
        local.open()


def test_records_damaged_within_are_named(local: Place, folder: Path) -> None:
    local.make(many(2000))
    path = folder / "records.sqlite"
    content = bytearray(path.read_bytes())
    content[8192:] = b"\xa5" * (len(content) - 8192)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"records\.sqlite is damaged"):
        local.open().search(unit(0)[None], 3)


def test_records_without_a_table_are_named(local: Place, folder: Path) -> None:
    local.make(many(3))
    connection = sqlite3.connect(folder / "records.sqlite")
    connection.execute("DROP TABLE vectors")
    connection.close()
    with pytest.raises(ValueError, match=r"damaged: no such table: vectors.*anew with"):
        local.open()


def test_what_sqlite_refuses_is_no_damage(local: Place) -> None:
    local.make(many(3))
    opened = local.open()
    opened._store._idle[0].setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, 20)
    with pytest.raises(ValueError, match=r"SQLite refuses what was asked: .* is kept"):
        opened.search(unit(0)[None], 3, {"label": "c1"})
    opened.close()


def test_other_data_base_is_refused(local: Place, folder: Path) -> None:
    local.make()
    (folder / "records.sqlite").unlink()
    connection = sqlite3.connect(folder / "records.sqlite")
    connection.execute("CREATE TABLE records (row INTEGER PRIMARY KEY)")
    connection.close()
    with pytest.raises(ValueError, match="holds no records of dce_tf"):
        local.open()
