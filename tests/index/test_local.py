import contextlib
import multiprocessing
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from dce_tf.base.errors import UsageError
from dce_tf.index import build_collection, open_collection
from dce_tf.index import local as local_module
from dce_tf.index.kinds import KINDS
from dce_tf.index.manifest import Manifest
from dce_tf.index.maps import MapPlan
from tests.index.conftest import DIM, Place, found, many, record, unit
from tests.synced import Synced


@pytest.mark.parametrize(
    "kind",
    ["exact", "hnsw", "ivf_sq(lists=4)", "ivf_pq(lists=4)", "int8", "binary(bits=20)"],
)
def test_every_kind_finds_and_is_opened_again(local: Place, folder: Path, kind) -> None:
    local.make(many(300), kind=kind)
    for _ in range(2):
        opened = local.open()
        assert found(opened, 7)[0] == 7
        assert opened.describe()["kind"] == kind
        opened.close()
    assert Manifest.read(folder).problem_with(folder) is None


@pytest.mark.parametrize("kind", [*KINDS])
def test_every_kind_takes_changes_and_filters(
    local: Place, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dce_tf.index.structures.SCANNED", 10)
    local.make(many(300), kind=kind)
    opened = local.open()
    opened.upsert([record("new", 500, label="c1"), record(7, 501, label="moved")])
    opened.delete([8, 9])
    for _ in range(3):
        assert len(opened) == 299
        assert found(opened, 500)[0] == "new"
        assert found(opened, 501)[0] == 7
        assert not {8, 9} & set(found(opened, 8, 299))
        for label, count in (("c1", 100), ("moved", 1), ("c2", 99), ("nobody", 0)):
            hits = opened.search(unit(500)[None], 299, {"label": label})[0]
            assert [hit.label for hit in hits] == [label] * count
            for hit in hits[:20]:
                vector = opened.get([hit.id])[0].vector
                assert hit.score == pytest.approx(float(vector @ unit(500)), abs=1e-6)
        opened.rebuild()
        opened.close()
        opened = local.open()
    opened.close()


def test_a_folder_is_named_by_text_or_by_a_path(tmp_path: Path) -> None:
    for folder in (tmp_path / "one", str(tmp_path / "two")):
        build_collection(folder, [[record("a", 0)]], fingerprint="f", embedding_dim=DIM)
        for named in (str(folder), Path(folder)):
            opened = open_collection(named, read_only=True)
            assert len(opened) == 1
            opened.close()


def test_name_is_that_of_the_folder_or_another(local: Place, folder: Path) -> None:
    local.make()
    assert Manifest.read(folder).name == "things"
    local.make(name="other", overwrite=True)
    assert Manifest.read(folder).name == "other"
    with pytest.raises(ValueError, match="--name"):
        local.make(name="a/b", overwrite=True)
    assert Manifest.read(folder).name == "other"


def test_nothing_is_overwritten_unasked(local: Place, folder: Path) -> None:
    local.make(many(3))
    with pytest.raises(UsageError, match="--overwrite"):
        local.make(many(4))
    with pytest.raises(ValueError, match="twice"):
        local.make([*many(4), record(1, 9)], overwrite=True)
    opened = local.open()
    assert len(opened) == 3
    with pytest.raises(ValueError, match="in use by another process"):
        local.make(many(4), overwrite=True)
    opened.close()
    local.make(many(4), overwrite=True)
    opened = local.open()
    assert len(opened) == 4
    opened.close()
    assert [path.name for path in folder.parent.iterdir()] == ["things"]


def test_folder_of_something_else_is_left_alone(local: Place, folder: Path) -> None:
    folder.mkdir()
    (folder / "letter.txt").write_text("dear")
    with pytest.raises(UsageError, match="is no index"):
        local.make(overwrite=True)
    assert (folder / "letter.txt").read_text() == "dear"
    (folder / "letter.txt").unlink()
    local.make()
    assert (folder / "manifest.json").is_file()


def test_name_in_two_blocks_is_found(tmp_path: Path) -> None:
    blocks = [many(3), [record("a", 1)], [record(2, 9)]]
    with pytest.raises(ValueError, match="found 2 more than once"):
        build_collection(tmp_path / "c", blocks, fingerprint="f", embedding_dim=DIM)
    assert list(tmp_path.iterdir()) == []


def test_one_process_writes_and_others_read(local: Place) -> None:
    local.make(many(3))
    writer = local.open()
    with pytest.raises(ValueError, match="in use by another process"):
        local.open()
    reader = local.open(read_only=True)
    writer.upsert([record("new", 50)])
    writer.delete([1])
    assert found(reader, 0, 9)[0] == 0
    assert 1 not in found(reader, 1, 9)
    assert found(reader, 50, 9)[0] == "new"
    writer.upsert([record(0, 60, metadata={"n": 1})])
    assert found(reader, 60, 1) == [0]
    (hits,) = reader.search(unit(0)[None], 9, {"n": 1})
    assert [hit.id for hit in hits] == [0]
    assert len(reader) == reader.describe()["count"] == len(writer) == 3
    again = local.open(read_only=True)
    assert found(again, 50)[0] == "new"
    writer.rebuild()
    writer.upsert([record("last", 70)])
    for opened in (reader, again):
        assert set(found(opened, 0, 9)) == {0, 2, "new", "last"}
        assert len(opened) == 4
    for opened in (reader, again, writer):
        opened.close()
    with pytest.raises(ValueError, match="closed"):
        writer.get([0])


def test_a_reader_that_could_not_follow_follows_later(
    local: Place, monkeypatch
) -> None:
    local.make([record("a", 1)])
    writer, reader = local.open(), local.open(read_only=True)
    writer.upsert([record("b", 2)])
    writer.delete(["a"])
    writer.rebuild()
    with monkeypatch.context() as patched:
        patched.setattr(local_module.Build, "read", fail)
        with pytest.raises(OSError, match="Too many open files"):
            found(reader, 2)
    assert set(found(reader, 2, 9)) == {"b"}
    writer.close()
    reader.close()


def fail(*_: object) -> None:
    raise OSError("Too many open files")


def test_what_is_not_there_is_named(tmp_path: Path, local: Place, folder: Path) -> None:
    with pytest.raises(ValueError, match="is no index"):
        open_collection(str(tmp_path / "none"))
    local.make()
    (folder / "records.sqlite").unlink()
    with pytest.raises(ValueError, match=r"records\.sqlite.*no such file.*--overwrite"):
        local.open()


def test_full_disk_loses_nothing(local: Place, folder: Path) -> None:
    local.make(many(3))
    opened = local.open()
    opened._store._writer.execute("PRAGMA max_page_count = 20")
    with pytest.raises(OSError, match="make room"):
        opened.upsert(
            [record(f"n{n}", n, metadata={"t": "x" * 9000}) for n in range(50)]
        )
    assert len(opened) == 3
    assert found(opened, 1)[0] == 1
    opened.close()
    opened = local.open()
    opened.upsert([record("new", 50)])
    assert len(opened) == 4
    opened.close()


def test_changes_during_a_rebuild_are_kept(local: Place, monkeypatch) -> None:
    local.make(many(10))
    opened = local.open()
    opened.upsert([record("before", 20)])
    opened.delete([0])
    build = local_module.build_files

    def slow(*given: object) -> object:
        made = build(*given)
        opened.upsert([record("meanwhile", 30), record(5, 31, label="moved")])
        opened.delete([1, "before"])
        assert found(opened, 30)[0] == "meanwhile"
        return made

    monkeypatch.setattr(local_module, "build_files", slow)
    opened.rebuild()
    monkeypatch.undo()
    for _ in range(3):
        assert len(opened) == 9
        everything = set(found(opened, 0, 20))
        assert everything == {2, 3, 4, 5, 6, 7, 8, 9, "meanwhile"}
        assert opened.search(unit(31)[None], 1)[0][0].label == "moved"
        opened.close()
        opened = local.open()
    opened.rebuild()
    assert set(found(opened, 0, 20)) == everything
    opened.close()


def test_one_record_after_the_other_goes(local: Place) -> None:
    local.make(many(10))
    opened = local.open()
    opened.upsert([record("new", 20), record("newer", 21)])
    for count, gone in ((11, 3), (10, "new"), (9, 7), (8, "newer")):
        assert opened.delete([gone, "nobody"]) == 1
        assert len(opened) == count
        assert gone not in found(opened, 0, 20)
    assert set(found(opened, 0, 20)) == {0, 1, 2, 4, 5, 6, 8, 9}
    opened.close()


def test_writes_are_synchronised_to_the_disk(local: Place) -> None:
    local.make()
    opened = local.open()
    for setting, expected in (("synchronous", 2), ("journal_mode", "wal")):
        asked = opened._store._writer.execute(f"PRAGMA {setting}")
        assert asked.fetchone() == (expected,)
    opened.close()


def test_files_of_an_index_are_on_the_disk_before_it_counts(
    local: Place, folder: Path, synced: list[Synced]
) -> None:
    local.make(many(300), kind="hnsw", map_plan=MapPlan())
    made = {path.name for path in folder.iterdir()}
    assert {"records.sqlite", "vectors-1.npy", "rows-1.npy", "map-1.json"} <= made
    records = Synced.of(folder / "records.sqlite")
    # SQLite itself writes on, and synchronises that by other means.
    assert records[:2] in [each[:2] for each in synced]
    for name in made - {"records.sqlite"}:
        assert Synced.of(folder / name) in synced, name
    opened = local.open()
    opened.upsert([record("new", 20)])
    opened.rebuild()
    rebuilt = {path.name for path in folder.glob("*-2.*")}
    assert len(rebuilt) == 4
    for name in {"manifest.json", *rebuilt}:
        assert Synced.of(folder / name) in synced, name
    opened.close()


def test_old_index_comes_back_if_the_new_one_cannot_take_its_place(
    local: Place, folder: Path, monkeypatch
) -> None:
    local.make(many(3))
    rename = Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if path.name == "new":
            raise OSError("no")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OSError, match="no"):
        local.make(many(4), overwrite=True)
    monkeypatch.undo()
    opened = local.open()
    assert len(opened) == 3
    opened.close()
    assert [path.name for path in folder.parent.iterdir()] == ["things"]


def test_a_filter_is_not_taken_for_another(local: Place) -> None:
    values = {"one": 1, "true": True, "zero": 0, "false": False}
    local.make(
        [record(name, 0, metadata={"x": value}) for name, value in values.items()]
    )
    opened = local.open()
    for _ in range(2):
        for name, value in values.items():
            for where in ({"x": value}, {"x": {"$in": [value]}}):
                (hits,) = opened.search(unit(0)[None], 9, where)
                assert [hit.id for hit in hits] == [name]
    opened.close()


def test_a_label_is_found_however_it_is_spelled(local: Place) -> None:
    composed, apart = "caf\u00e9", "cafe\u0301"
    labels = {"a": composed, "b": apart, "c": "tea"}
    local.make([record(name, 0, label=label) for name, label in labels.items()])
    opened = local.open()

    def names(wanted: object) -> set[object]:
        (hits,) = opened.search(unit(0)[None], 9, {"label": wanted})
        return {hit.id for hit in hits}

    assert names(composed) == names({"$in": [composed]}) == {"a"}
    assert names(apart) == names({"$in": [apart]}) == {"a", "b"}
    assert names({"$in": [apart, "tea "]}) == {"a", "b", "c"}
    assert names({"$ne": apart}) == {"c"}
    assert names({"$gte": "tea"}) == {"c"}
    opened.close()


def test_a_new_field_is_indexed_by_a_rebuild(local: Place, folder: Path) -> None:
    def indexed() -> set[str]:
        with contextlib.closing(sqlite3.connect(folder / "records.sqlite")) as file:
            names = file.execute("SELECT name FROM sqlite_master WHERE type = 'index'")
            return {name for (name,) in names if name.startswith("field_")}

    local.make([record("a", 0, metadata={"größe": 1})])
    opened = local.open()
    opened.upsert([record("b", 1, metadata={"n": 2})])
    assert indexed() == {f"field_{'größe'.encode().hex()}"}
    opened.rebuild()
    assert f"field_{b'n'.hex()}" in indexed()
    for where, name in (({"größe": 1}, "a"), ({"n": 2}, "b")):
        (hits,) = opened.search(unit(0)[None], 3, where)
        assert [hit.id for hit in hits] == [name]
    opened.close()


def test_rebuild_leaves_no_old_files(local: Place, folder: Path) -> None:
    local.make(many(300), kind="hnsw", map_plan=MapPlan())
    (folder / "vectors-7.npy").write_bytes(b"left by a crash")
    opened = local.open()
    opened.rebuild()
    opened.close()
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "manifest.json",
        "lock",
        "records.sqlite",
        "vectors-2.npy",
        "rows-2.npy",
        "search-2.faiss",
        "map-2.json",
    }


def test_kind_goes_with_the_number_when_it_is_auto(local: Place, monkeypatch) -> None:
    monkeypatch.setattr("dce_tf.index.kinds.MOST_EXACT", 50)
    local.make(many(40))
    opened = local.open()
    assert opened.describe()["kind"] == "exact"
    opened.upsert([record(f"n{number}", 100 + number) for number in range(20)])
    assert opened.describe()["since_build"] == 20
    opened.rebuild()
    assert opened.describe()["kind"] == "hnsw"
    assert opened.describe()["since_build"] == 0
    opened.close()


WRITER = """
import sys
from dce_tf.index import Record, open_collection
from tests.index.conftest import record
collection = open_collection(sys.argv[1])
start = len(collection)
print("open", flush=True)
for step in range(start, start + 100_000):
    collection.upsert([record(step, step), record("last", step)])
    print(step, flush=True)
    if step % 7 == 0:
        collection.rebuild()
"""


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_when_killed(local: Place, folder: Path) -> None:
    rng = np.random.default_rng(0)
    local.make(many(5))
    acknowledged = set(range(5))
    for _ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, local.where],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
            text=True,
        )
        assert process.stdout.readline() == "open\n"
        begun = process.stdout.readline() + process.stdout.readline()
        time.sleep(rng.uniform(0.05, 0.4))
        process.send_signal(signal.SIGKILL)
        lines = (begun + process.communicate()[0]).split("\n")[:-1]
        acknowledged |= {int(line) for line in lines}
        assert Manifest.read(folder).problem_with(folder) is None
        opened = local.open()
        present = {each.id for each in opened.get(list(acknowledged)) if each}
        assert present == acknowledged
        # Of what was not acknowledged at most the last may be there.
        assert len(opened) - ("last" in found(opened, 0, 10**6)) - len(present) <= 1
        assert found(opened, max(acknowledged), 2)[0] in (max(acknowledged), "last")
        acknowledged |= {each for each in found(opened, 0, 10**6) if each != "last"}
        opened.close()
    assert len(acknowledged) > 8


def try_to_open(where: str) -> str:
    try:
        open_collection(where).close()
    except ValueError as error:
        return str(error)
    return ""


def test_lock_holds_between_processes(local: Place) -> None:
    local.make()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        opened = local.open()
        assert "in use by another process" in pool.apply(try_to_open, (local.where,))
        opened.close()
        assert pool.apply(try_to_open, (local.where,)) == ""
