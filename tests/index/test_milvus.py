import multiprocessing

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dce_tf.base.errors import UsageError
from dce_tf.index import Collection, open_collection
from dce_tf.index.filters import parse_filter
from dce_tf.index.maps import MapPlan
from dce_tf.index.milvus import client
from dce_tf.index.milvus.building import build_milvus
from dce_tf.index.milvus.conditions import (
    Address,
    as_expression,
    decode_id,
    encode_id,
    index_of,
    search_parameters,
)
from tests.index.conftest import DIM, Place, record, unit


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("milvus:things", "expected milvus:URI#NAME"),
        ("milvus:#things", "expected milvus:URI#NAME"),
        ("milvus:folder#things", r"ends in \.db"),
        ("milvus:a.db#my-things", "digits and underscores"),
        ("milvus:a.db#", "digits and underscores"),
        ("milvus:a.db#" + "x" * 129, "digits and underscores"),
    ],
)
def test_address_that_is_none_is_refused(where: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_collection(where)


def test_address_comes_back() -> None:
    for where in ("milvus:http://host:19530#things", "milvus:a/b#c.db#_1"):
        assert str(Address.parse(where)) == where


@settings(deadline=None, derandomize=True)
@given(st.text(st.characters(codec="utf-8"), min_size=1) | st.integers())
def test_id_is_coded_in_plain_letters(record_id: str | int) -> None:
    coded = encode_id(record_id)
    assert decode_id(coded) == record_id
    assert type(decode_id(coded)) is type(record_id)
    assert coded.isascii()
    assert not set(coded) & set("'\"\\{}\n")


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({}, ""),
        ({"label": "x"}, '(label == "x")'),
        ({"a b": {"$lte": 2.5}}, '(metadata["a b"] <= 2.5)'),
        ({"new": True}, '(metadata["new"] == true)'),
        ({"label": {"$ne": "x"}}, '(label is null or label != "x")'),
        ({"n": {"$in": []}}, '(id == "")'),
        (
            {"n": {"$in": [1, "1"]}, "label": '"\\\nb'},
            '(metadata["n"] == 1 or metadata["n"] == "1") and (label == "\\"\\\\\\nb")',
        ),
    ],
)
def test_filter_is_said_as_milvus_says_it(where: dict, expected: str) -> None:
    assert as_expression(parse_filter(where)) == expected


@pytest.mark.parametrize(
    ("kind", "expected", "looking"),
    [
        ("auto", ("AUTOINDEX", {}), {}),
        ("exact", ("FLAT", {}), {}),
        ("hnsw(ef=9)", ("HNSW", {"M": 32, "efConstruction": 80}), {"ef": 10}),
        ("ivf_sq", ("IVF_SQ8", {"nlist": 4000}), {"nprobe": 125}),
        ("ivf_sq(lists=5)", ("IVF_SQ8", {"nlist": 5}), {"nprobe": 5}),
        (
            "ivf_pq(probes=3)",
            ("IVF_PQ", {"nlist": 4000, "m": 32, "nbits": 8}),
            {"nprobe": 3},
        ),
    ],
)
def test_kinds_have_names_in_milvus(kind: str, expected: tuple, looking: dict) -> None:
    index, parameters = index_of(kind, 128, 10**6)
    assert (index, parameters) == expected
    assert search_parameters(kind, parameters.get("nlist", 0), 10) == looking


@pytest.mark.parametrize(
    ("kind", "nearest"), [("int8", "ivf_sq"), ("binary(bits=64)", "ivf_pq")]
)
def test_kind_that_milvus_has_not_is_refused(kind: str, nearest: str) -> None:
    with pytest.raises(UsageError, match=f"The nearest that works is {nearest}"):
        index_of(kind, 128, 10)


def test_unknown_kind_is_refused(milvus: Place) -> None:
    with pytest.raises(UsageError, match="Did you mean 'hnsw'"):
        milvus.make(kind="hnws")


@pytest.mark.parametrize("kind", ["hnsw", "ivf_sq(lists=4)"])
def test_kind_of_index_is_searched(milvus: Place, kind: str) -> None:
    milvus.make([record(number, number) for number in range(50)], kind=kind)
    opened = milvus.open()
    assert opened.describe()["kind"] == kind
    assert opened.search(unit(7)[None], 1)[0][0].id == 7
    opened.close()


def test_collection_is_replaced_when_asked(milvus: Place) -> None:
    milvus.make([record("old", 1)])
    with pytest.raises(UsageError, match="--overwrite"):
        milvus.make([record("new", 2)])
    milvus.make([record("new", 2)], overwrite=True)
    opened = milvus.open()
    assert [each is None for each in opened.get(["old", "new"])] == [True, False]
    opened.close()


def test_what_is_not_whole_is_not_opened(milvus: Place) -> None:
    with pytest.raises(ValueError, match=r"no such collection.*index EMBEDDINGS"):
        milvus.open()
    with pytest.raises(ValueError, match="found 2 different ones in 3 records"):
        build_milvus(
            Address.parse(milvus.where),
            [[record("a", 1), record("b", 2)], [record("a", 3)]],
            fingerprint="f",
            embedding_dim=DIM,
        )
    with pytest.raises(ValueError, match="not complete"):
        milvus.open()
    milvus.make([record("a", 1)], overwrite=True)
    milvus.open().close()


def test_map_of_many_points_comes_back(milvus: Place, monkeypatch) -> None:
    monkeypatch.setattr(client, "LONGEST", 500)
    milvus.make(
        [record(f"n{number}", number, label="ü") for number in range(40)],
        map_plan=MapPlan(points=30, clusters=3),
    )
    opened = milvus.open()
    for _ in range(2):
        drawn = opened.map()
        assert drawn["method"] == opened.describe()["map"] == "pca"
        assert len({point["id"] for point in drawn["points"]}) == 30
        assert {point["cluster"] for point in drawn["points"]} == {0, 1, 2}
        assert {point["label"] for point in drawn["points"]} == {"ü"}
        opened.upsert([record("later", 99, label="ü")])
        opened.rebuild()
    opened.delete([f"n{number}" for number in range(35)])
    opened.rebuild()
    assert len(opened.map()["points"]) == 6
    opened.close()


def test_many_records_are_several_requests(emptied: Place) -> None:
    opened = emptied.open()
    opened.upsert([record(number, number) for number in range(2500)])
    assert len(opened) == 2500
    assert opened.delete(list(range(100, 2400))) == 2300
    assert len(opened) == 200
    found = opened.search(np.stack([unit(n) for n in range(1100)]), 1)
    assert [hits[0].id for hits in found[:100]] == list(range(100))
    assert opened.delete(list(range(2500))) == 200
    opened.close()


@pytest.fixture
def collection(emptied: Place) -> Collection:
    opened = emptied.open()
    yield opened
    opened._client.delete(opened.name, filter='id != ""')
    opened.close()


def test_what_milvus_cannot_do_is_said(collection: Collection) -> None:
    with pytest.raises(ValueError, match="at most 16384"):
        collection.search(unit(0)[None], 20_000)
    with pytest.raises(ValueError, match="thumbnail of 'a': received 50000 bytes"):
        collection.upsert([record("a", 1, thumbnail=b"x" * 50_000)])
    assert len(collection) == 0


def test_errors_name_the_collection(milvus: Place) -> None:
    milvus.make()
    collection = milvus.open()
    collection._client.drop_collection(f"{collection.name}_about")
    with pytest.raises(OSError, match=r"milvus:.*milvus\.db#things: Milvus says: "):
        collection.upsert([record("a", 1, metadata={"never seen": 1})])
    collection.close()


def try_to_open(where: str) -> str:
    try:
        open_collection(where, read_only=True).close()
    except ValueError as error:
        return str(error)
    return "opened"


@pytest.mark.slow
def test_a_file_is_for_one_process_at_a_time(milvus: Place) -> None:
    milvus.make([record(1, 1)])
    first, second = milvus.open(), milvus.open()
    assert len(first) == len(second) == 1
    first.close()
    second.close()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        refused = pool.apply(try_to_open, (milvus.where,))
    assert "is in use by another process: one at a time may open" in refused
    assert "`index --postgres=DSN`" in refused
