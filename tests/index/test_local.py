import io
import json
import multiprocessing
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dce_tf.errors import UsageError
from dce_tf.index import build_collection, make_thumbnail, open_collection
from dce_tf.index import local as local_module
from dce_tf.index.manifest import Manifest
from dce_tf.index.maps import MapPlan, Reservoir
from tests import fakes
from tests.index.conftest import DIM, Place, record, unit


@pytest.fixture
def folder(local: Place) -> Path:
    return Path(local.where)


def many(count: int) -> list:
    return [record(number, number, label=f"c{number % 3}") for number in range(count)]


def found(collection, seed: int, k: int = 3) -> list:
    (hits,) = collection.search(unit(seed)[None], k)
    return [hit.id for hit in hits]


@pytest.mark.parametrize(
    "kind", ["exact", "hnsw", "ivf_sq(lists=4)", "ivf_pq(lists=4)"]
)
def test_every_kind_finds_and_is_opened_again(local: Place, folder: Path, kind) -> None:
    local.make(many(300), kind=kind)
    for _ in range(2):
        opened = local.open()
        assert found(opened, 7)[0] == 7
        assert opened.describe()["kind"] == kind
        opened.close()
    assert Manifest.read(folder).problem_with(folder) is None


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
    again = local.open(read_only=True)
    assert found(again, 50)[0] == "new"
    writer.rebuild()
    assert set(found(again, 0, 9)) == {0, 2, "new"}
    for opened in (reader, again, writer):
        opened.close()
    with pytest.raises(ValueError, match="closed"):
        writer.get([0])


def test_what_is_not_there_is_named(tmp_path: Path, local: Place, folder: Path) -> None:
    with pytest.raises(ValueError, match="is no index"):
        open_collection(str(tmp_path / "none"))
    local.make()
    (folder / "records.sqlite").unlink()
    with pytest.raises(ValueError, match=r"records\.sqlite.*no such file.*--overwrite"):
        local.open()


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


TSNE = pytest.param("tsne", marks=pytest.mark.slow)


@pytest.mark.parametrize("method", ["pca", TSNE])
def test_map_places_and_colours_a_sample(local: Place, method: str) -> None:
    left, right = np.eye(DIM, dtype=np.float32)[:2]
    rng = np.random.default_rng(0)
    records = []
    for number in range(40):
        vector = (left if number % 2 else right) + rng.normal(0, 0.05, DIM)
        records.append(record(number, number, label=f"c{number % 2}"))
        records[-1] = type(records[-1])(
            number, vector.astype(np.float32), f"c{number % 2}"
        )
    local.make(records, map_plan=MapPlan(method, points=30, clusters=2))
    opened = local.open()
    assert opened.describe()["map"] == method
    drawn = opened.map()
    assert drawn["method"] == method
    assert len({point["id"] for point in drawn["points"]}) == 30
    sides: dict = {}
    for point in drawn["points"]:
        assert point["label"] == f"c{point['id'] % 2}"
        assert -1 <= point["x"] <= 1
        assert -1 <= point["y"] <= 1
        sides.setdefault(point["label"], []).append(point)
    for one, other in (sides.values(), list(sides.values())[::-1]):
        assert len({point["cluster"] for point in one}) == 1
        assert one[0]["cluster"] != other[0]["cluster"]
    gap = abs(
        np.mean([point["x"] for point in sides["c0"]])
        - np.mean([point["x"] for point in sides["c1"]])
    )
    if method == "pca":
        assert gap > 1
    opened.close()


def test_map_stays_while_another_process_builds(local: Place) -> None:
    local.make(many(5), map_plan=MapPlan())
    reader, writer = local.open(read_only=True), local.open()
    before = reader.map()
    writer.delete([0])
    writer.rebuild()
    assert len(writer.map()["points"]) == 4
    assert reader.map() == before
    assert len(before["points"]) == 5
    for opened in (reader, writer):
        opened.close()


@pytest.mark.parametrize("count", [0, 1, 2, 3])
@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_map_of_few_records_is_drawn(local: Place, count: int, method: str) -> None:
    local.make(many(count), map_plan=MapPlan(method))
    opened = local.open()
    assert len(opened.map()["points"]) == count
    opened.rebuild()
    assert len(opened.map()["points"]) == count
    opened.close()


def test_sample_of_a_stream_is_of_all_of_it() -> None:
    sample: Reservoir[int] = Reservoir(100)
    for start in range(0, 1000, 7):
        sample.add(range(start, min(1000, start + 7)))
    assert len(set(sample.kept)) == 100
    assert 400 < np.mean(sample.kept) < 600
    assert 5 < sum(each < 100 for each in sample.kept) < 18
    few: Reservoir[int] = Reservoir(100)
    few.add(range(9))
    assert few.kept == list(range(9))


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"method": "umapp"}, "--map=umapp: expected one of pca, tsne, none"),
        ({"points": 0}, "--map_points=0"),
        ({"clusters": 0}, "--map_clusters=0"),
    ],
)
def test_map_that_cannot_be_is_refused(plan: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        MapPlan(**plan)


def test_thumbnail_is_read_from_the_image_folder(local: Place, tmp_path: Path) -> None:
    images = tmp_path / "images"
    fakes.write_image(images / "a" / "one.jpg", 1, np.random.default_rng(0), 600)
    (images / "broken.jpg").write_bytes(b"no image")
    local.make(
        [
            record("one", 1, path="a/one.jpg"),
            record("broken", 2, path="broken.jpg"),
            record("missing", 3, path="missing.jpg"),
        ],
        image_root=str(images),
    )
    opened = local.open()
    small = tmp_path / "small.jpg"
    small.write_bytes(opened.thumbnail("one"))
    with Image.open(small) as image:
        assert (image.format, image.size) == ("JPEG", (256, 256))
    assert opened.thumbnail("broken") is opened.thumbnail("missing") is None
    opened.close()


def test_thumbnail_is_upright_and_keeps_its_shape(tmp_path: Path) -> None:
    path = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGBA", (800, 400), (255, 0, 0, 9)).convert("RGB").save(path, exif=exif)
    small = tmp_path / "small.jpg"
    small.write_bytes(make_thumbnail(path.read_bytes()))
    with Image.open(small) as image:
        assert image.size == (128, 256)
    grey = tmp_path / "grey.png"
    Image.new("LA", (10, 20)).save(grey)
    small.write_bytes(make_thumbnail(grey))
    with Image.open(small) as image:
        assert (image.mode, image.size) == ("RGB", (10, 20))


def test_thumbnail_of_a_photograph_with_an_odd_tag(tmp_path: Path) -> None:
    small = make_thumbnail(fakes.odd_photograph((800, 400), (0, 0, 0)))
    with Image.open(io.BytesIO(small)) as image:
        assert image.size == (128, 256)


def test_huge_picture_is_not_decoded(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("dce_tf.index.pictures.MOST_PIXELS", 99)
    Image.new("RGB", (10, 10)).save(tmp_path / "a.png")
    assert make_thumbnail(tmp_path / "a.png") is None


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
