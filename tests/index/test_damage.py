import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from dce_tf.index import DamagedError
from dce_tf.index.manifest import Manifest
from tests.index.conftest import Place, found, many, record, unit


def changed(folder: Path, **values: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: changed(folder, format=99), "found format 99; expected 1"),
        (lambda folder: changed(folder, more=1), "damaged: nobody knows its 'more'"),
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


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("name", [1, "", "a/b", "../a", None, ["a"]]),
        ("fingerprint", [1, None, {}]),
        ("embedding_dim", [0, -1, 8.0, "8", True, None, 9, 2**70]),
        ("kind", [1, None, "new", "hnsw(", "hnsw(x=1)", "auto(1)"]),
        ("built_as", [1, None, "new", ["exact"]]),
        ("created", [1, None]),
        ("model", [1, None]),
        ("image_root", [1, [], {}]),
        ("map", [1, "pca", {}, [], {"method": "pca"}, {"method": [], "points": 1}]),
        ("build", [-1, "1", None, 1.0, 2, [1]]),
        ("count", [-1, "3", None, 2, 4]),
        ("highest_row", [-1, "3", None]),
        ("files", [1, None, [], {"a": 1}, {"../../etc/passwd": {}}, {}]),
        ("files", [{"rows-1.npy": {"bytes": 1}}, {"rows-1.npy": None}]),
    ],
)
def test_edited_manifest_is_damaged(
    local: Place, folder: Path, name: str, values: list
) -> None:
    local.make(many(3))
    written = (folder / "manifest.json").read_text()
    for value in values:
        changed(folder, **{name: value})
        for read_only in (False, True):
            with pytest.raises(DamagedError, match=r"manifest\.json is damaged: "):
                local.open(read_only=read_only)
        (folder / "manifest.json").write_text(written)
    local.open().close()


@pytest.mark.parametrize(
    "text", ["[]", "null", "1", '"a"', "{}", "[" * 10_000, '{"format": 1}']
)
def test_manifest_of_anything_else_is_refused(
    local: Place, folder: Path, text: str
) -> None:
    local.make()
    (folder / "manifest.json").write_text(text)
    with pytest.raises(ValueError, match=r"manifest\.json"):
        local.open()


def test_vectors_of_another_width_than_the_manifest_says_are_damaged(
    local: Place, folder: Path
) -> None:
    local.make()
    opened = local.open()
    opened.upsert(many(3))
    opened.close()
    path = folder / "manifest.json"
    text = path.read_text().replace('"embedding_dim": 8', '"embedding_dim": 4')
    path.write_text(text)
    with pytest.raises(DamagedError, match=r"damaged|Vectors of 32 bytes"):
        local.open()


@pytest.mark.parametrize("name", ["vectors-1.npy", "rows-1.npy", "search-1.faiss"])
@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("kind", ["hnsw", "int8", "binary"])
def test_damaged_structure_is_made_anew(
    local: Place, folder: Path, name: str, missing: bool, kind: str
) -> None:
    local.make(many(300), kind=kind)
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
    with pytest.warns(UserWarning, match=f"{name} is .*Making it again"):
        opened = local.open()
    assert (found(opened, 500)[0], len(opened)) == ("new", 300)
    assert 3 not in found(opened, 3)
    opened.close()
    opened = local.open()
    assert opened.describe()["since_build"] == 0
    opened.close()
    assert Manifest.read(folder).problem_with(folder) is None
    assert not path.exists()


def test_structure_of_another_kind_is_damage(local: Place, folder: Path) -> None:
    local.make(many(300), kind="int8")
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"int8"', '"binary"'))
    with pytest.raises(DamagedError, match=r"search-1\.faiss holds no .* kind binary"):
        local.open()


@pytest.mark.parametrize("content", [b"", b"no data base" * 1000])
def test_damaged_records_are_named(local: Place, folder: Path, content: bytes) -> None:
    local.make(many(3))
    (folder / "records.sqlite").write_bytes(content)
    with pytest.raises(ValueError, match=r"records\.sqlite.*again.*or put a copy"):
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
    with pytest.raises(ValueError, match=r"damaged: no such table: vectors.*again"):
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
