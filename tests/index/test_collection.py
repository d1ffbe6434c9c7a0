"""What every kind of collection does alike."""

import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dce_tf.index import Collection, Record, build_collection, open_collection
from tests.index.conftest import DIM, FINGERPRINT, Place, record, unit
from tests.index.oracle import Oracle


def ids(hits: list) -> list:
    return [hit.id for hit in hits]


def test_nearest_come_first_with_cosine_as_score(collection: Collection) -> None:
    collection.upsert(
        [record(number, number, label=f"c{number}") for number in range(9)]
    )
    (hits,) = collection.search(3 * unit(4)[None], 5)
    expected = {n: float(unit(n) @ unit(4)) for n in range(9)}
    assert ids(hits) == sorted(expected, key=lambda n: -expected[n])[:5]
    assert hits[0].id == 4
    assert hits[0].label == "c4"
    assert [hit.score for hit in hits] == pytest.approx(
        [expected[hit.id] for hit in hits], abs=1e-6
    )
    assert all(-1 <= hit.score <= 1 for hit in hits)


def test_many_queries_have_an_answer_each(collection: Collection) -> None:
    collection.upsert([record(number, number) for number in range(20)])
    found = collection.search(np.stack([unit(7), unit(3), unit(11)]), 1)
    assert [ids(hits) for hits in found] == [[7], [3], [11]]
    assert collection.search(np.empty((0, DIM), np.float32), 3) == []


def test_empty_collection_finds_nothing(collection: Collection) -> None:
    assert len(collection) == 0
    assert collection.search(unit(0)[None], 3) == [[]]
    assert collection.labels() == []
    assert collection.delete(["a"]) == 0
    assert collection.get(["a"]) == [None]


def test_fewer_are_found_where_there_are_fewer(collection: Collection) -> None:
    collection.upsert([record("a", 1, label="x"), record("b", 2)])
    assert len(collection.search(unit(0)[None], 50)[0]) == 2
    assert ids(collection.search(unit(0)[None], 50, {"label": "x"})[0]) == ["a"]
    assert collection.search(unit(0)[None], 50, {"label": "none"}) == [[]]


def test_sample_draws_each_record_once_at_most(collection: Collection) -> None:
    assert collection.sample(3).shape == (0, DIM)
    collection.upsert([record(number, number) for number in range(20)])
    collection.delete([7])
    there = {n: unit(n) for n in range(20) if n != 7}
    for count, expected in ((5, 5), (19, 19), (50, 19)):
        drawn = collection.sample(count)
        assert drawn.dtype == np.float32
        found = [
            n
            for row in drawn
            for n, v in there.items()
            if np.allclose(v, row, atol=1e-6)
        ]
        assert len(drawn) == len(found) == len(set(found)) == expected


def test_text_and_number_of_one_spelling_are_two(collection: Collection) -> None:
    collection.upsert([record(1, 1, label="number"), record("1", 2, label="text")])
    assert len(collection) == 2
    assert [each.label for each in collection.get(["1", 1])] == ["text", "number"]
    assert collection.delete(["1"]) == 1
    assert ids(collection.search(unit(0)[None], 5)[0]) == [1]


@pytest.mark.parametrize(
    "record_id",
    [
        "a/b c.jpg",
        "ü\n\t\"'\\%",
        "x" * 1024,
        "日本",
        -1,
        0,
        2**63 - 1,
        -(2**63),
        "s1",
        "%20",
    ],
)
def test_every_id_comes_back_as_it_was(collection: Collection, record_id) -> None:
    stored = record(
        record_id,
        1,
        label="lä\"b'\\el\n",
        metadata={"ü \"'": [1, {"a": None}], "n": 1.5},
    )
    collection.upsert([stored, record("other", 2)])
    (found,) = collection.get([record_id])
    assert type(found.id) is type(record_id)
    assert (found.id, found.label) == (record_id, stored.label)
    assert found.metadata == stored.metadata
    np.testing.assert_allclose(found.vector, stored.vector, atol=1e-6)
    (hit,) = collection.search(unit(1)[None], 1)[0]
    assert (hit.id, hit.metadata) == (record_id, stored.metadata)
    assert collection.delete([record_id, "nobody"]) == 1
    assert collection.get([record_id, "other"])[0] is None


def test_upsert_takes_the_place(collection: Collection) -> None:
    collection.upsert([record("a", 1, label="old", metadata={"n": 1})])
    collection.upsert([record("a", 2, label="new"), record("b", 3)])
    assert len(collection) == 2
    (found,) = collection.get(["a"])
    assert (found.label, found.metadata) == ("new", {})
    (hits,) = collection.search(unit(2)[None], 2)
    assert ids(hits) == ["a", "b"]
    assert hits[0].score == pytest.approx(1)
    assert collection.labels() == ["new"]


def test_what_was_stored_is_there_when_opened_again(place: Place) -> None:
    place.make([record("made", 1, label="x")])
    opened = place.open()
    opened.upsert([record("later", 2, label="y", thumbnail=b"jpeg")])
    opened.upsert([record("gone", 3)])
    opened.delete(["gone"])
    opened.close()
    opened = place.open()
    assert len(opened) == 2
    assert ids(opened.search(unit(2)[None], 3)[0]) == ["later", "made"]
    assert opened.thumbnail("later") == b"jpeg"
    assert opened.thumbnail("made") is opened.thumbnail("nobody") is None
    assert opened.labels() == ["x", "y"]
    opened.close()


def test_rebuild_changes_no_answer(collection: Collection) -> None:
    collection.upsert([record(number, number) for number in range(30)])
    collection.delete(list(range(0, 30, 3)))
    queries = np.stack([unit(number) for number in range(30)])
    before = collection.search(queries, 7)
    collection.rebuild()
    assert len(collection) == 20
    assert [ids(hits) for hits in collection.search(queries, 7)] == [
        ids(hits) for hits in before
    ]
    collection.upsert([record(0, 0)])
    assert ids(collection.search(unit(0)[None], 1)[0]) == [0]


PRICED = [
    record("a", 1, label="x", metadata={"price": 1, "size": "s", "new": True}),
    record("b", 2, label="y", metadata={"price": 2.5, "size": "m", "new": False}),
    record("c", 3, label="x", metadata={"price": 10, "size": 'it\'s "l" \\'}),
    record("d", 4, metadata={"price": "1"}),
    record("e", 5, label="z", metadata={"deep": {"er": 1}, "a b": 3}),
]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({}, "abcde"),
        ({"label": "x"}, "ac"),
        ({"label": {"$ne": "x"}}, "bde"),
        ({"label": {"$in": ["y", "z"]}}, "be"),
        ({"label": {"$in": []}}, ""),
        ({"label": {"$gt": "x"}}, "be"),
        ({"price": 1}, "a"),
        ({"price": 1.0}, "a"),
        ({"price": "1"}, "d"),
        ({"price": {"$lt": 10}}, "ab"),
        ({"price": {"$lte": 2.5}}, "ab"),
        ({"price": {"$gt": 1, "$lt": 11}}, "bc"),
        ({"price": {"$gte": 2.5}}, "bc"),
        ({"price": {"$ne": 1}}, "bcde"),
        ({"price": {"$in": [1, 10, "1"]}}, "acd"),
        ({"size": {"$gte": "m"}}, "ab"),
        ({"size": 'it\'s "l" \\'}, "c"),
        ({"new": True}, "a"),
        ({"new": {"$ne": True}}, "bcde"),
        ({"a b": 3}, "e"),
        ({"nobody": 3}, ""),
        ({"label": "x", "price": {"$gt": 1}}, "c"),
        ({"deep": '{"er":1}'}, ""),
    ],
    ids=str,
)
def test_filter_leaves_out_what_does_not_meet_it(
    collection: Collection, where: dict, expected: str
) -> None:
    collection.upsert(PRICED)
    oracle = Oracle()
    oracle.upsert(PRICED)
    assert sorted(oracle.scores(unit(0), where)) == list(expected)
    (hits,) = collection.search(unit(0)[None], 10, where)
    assert sorted(ids(hits)) == list(expected)


def test_any_filter_that_is_allowed_is_answered(local: Place) -> None:
    local.make(PRICED)
    opened = local.open()
    numbers = [n + 0.5 for n in range(998)]
    for where, expected in (
        ({"price": {"$in": [*numbers, "1", True]}}, "bd"),
        ({"label": {"$in": [*map(str, numbers), "x", "z"]}}, "ace"),
        ({"price": {"$in": [True, "10"]}}, ""),
        ({"new": {"$in": [1, "true", False]}}, "b"),
        ({"new": {"$in": [True, False]}}, "ab"),
        ({f"f{n}": {"$in": [*numbers, "1", True]} for n in range(32)}, ""),
        ({f"f{n}": {"$ne": 1} for n in range(32)}, "abcde"),
    ):
        (hits,) = opened.search(unit(0)[None], 10, where)
        assert sorted(ids(hits)) == list(expected)
    opened.close()


def test_filter_sees_every_change(collection: Collection) -> None:
    def found() -> list:
        return sorted(ids(collection.search(unit(0)[None], 9, {"label": "x"})[0]))

    collection.upsert([record("a", 1, label="x"), record("b", 2, label="y")])
    assert found() == ["a"]
    collection.upsert([record("b", 2, label="x")])
    assert found() == ["a", "b"]
    collection.delete(["a"])
    assert found() == ["b"]


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ([], "expected a JSON object"),
        ("label", "expected a JSON object"),
        ({"label": 1}, "a label is text"),
        ({"label": None}, "a label is text"),
        ({"label": {"$eq": True}}, "a label is text"),
        ({"price": None}, "has .eq None"),
        ({"price": {"$lt": True}}, "has .lt True"),
        ({"price": float("nan")}, "has .eq nan"),
        ({"price": 10**400}, "has .eq 1000"),
        ({"price": [1]}, "has .eq .1."),
        ({"price": {}}, "no operator"),
        ({"price": {"$regex": "a"}}, "operator '.regex'"),
        ({"price": {"$in": "abc"}}, "expected a list"),
        ({"price": {"$in": [None]}}, "has .in None"),
        ({"price": {"$in": [1] * 1001}}, "at most 1000"),
        ({f"f{n}": 1 for n in range(33)}, "33 conditions; expected at most 32"),
        ({'a"b': 1}, "received the field"),
        ({"": 1}, "received the field"),
        ({3: 1}, "received the field"),
        ({"a\\": 1}, "received the field"),
        ({"a": "\ud800"}, "has .eq '.ud800'"),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_what_is_no_filter_is_refused(
    collection: Collection, where: dict, message: str
) -> None:
    collection.upsert(PRICED)
    with pytest.raises(ValueError, match=message):
        collection.search(unit(0)[None], 3, where)


def test_no_filter_reaches_the_data_base(collection: Collection) -> None:
    collection.upsert(PRICED)
    for text in ("' OR 1=1 --", '") OR 1=1 --', 'x" or id != "', "\\", "'; DROP"):
        assert collection.search(unit(0)[None], 9, {"label": text}) == [[]]
        assert collection.search(unit(0)[None], 9, {"size": text}) == [[]]
        if '"' not in text and "\\" not in text:
            assert collection.search(unit(0)[None], 9, {text: 1}) == [[]]
    assert len(collection) == 5


NAN = np.full(DIM, np.nan, np.float32)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (Record("b", np.zeros(DIM, np.float32)), "not all zero"),
        (Record("b", NAN), "finite"),
        (Record("b", np.ones(DIM + 1, np.float32)), "width"),
        (Record("b", np.ones((1, DIM), np.float32)), "width"),
        (record("a", 2), "twice"),
        (record("", 2), "expected text"),
        (record("x" * 1025, 2), "expected text"),
        (record("\ud800", 2), "expected text"),
        (record(True, 2), "expected text"),
        (record(1.5, 2), "expected text"),
        (record(2**63, 2), "64 bits"),
        (record("b", 2, label=""), "label"),
        (record("b", 2, label=3), "label"),
        (record("b", 2, path="../b.jpg"), "without '..'"),
        (record("b", 2, path="/b.jpg"), "below"),
        (record("b", 2, metadata={"x": float("nan")}), "metadata"),
        (record("b", 2, metadata={"x": b""}), "metadata"),
        (record("b", 2, metadata={"label": "x"}), "field of its own"),
        (record("b", 2, metadata={3: "x"}), "names of fields"),
        (record("b", 2, metadata={"x": "y" * 40_000}), "at most"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_record_stops_all_of_an_upsert(
    collection: Collection, bad: Record, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        collection.upsert([record("a", 1), bad])
    assert len(collection) == 0
    assert collection.get(["a"]) == [None]


@pytest.mark.parametrize(
    ("queries", "k", "message"),
    [
        (np.ones((1, DIM + 1)), 1, "width"),
        (np.ones(DIM), 1, "width"),
        (np.zeros((1, DIM)), 1, "not all zero"),
        (np.full((1, DIM), np.inf), 1, "finite"),
        (np.ones((1, DIM)), 0, "of 1 or more"),
        (np.ones((1, DIM)), 1.5, "of 1 or more"),
        (np.ones((1, DIM)), True, "of 1 or more"),
    ],
)
def test_bad_query_is_refused(collection: Collection, queries, k, message) -> None:
    collection.upsert([record("a", 1)])
    with pytest.raises(ValueError, match=message):
        collection.search(queries, k)


def test_description_says_what_there_is(fresh: Collection) -> None:
    collection = fresh
    collection.upsert(PRICED)
    described = collection.describe()
    assert {
        "name": "things",
        "count": 5,
        "embedding_dim": DIM,
        "fingerprint": FINGERPRINT,
        "fields": ["a b", "deep", "new", "price", "size"],
        "map": None,
    }.items() <= described.items()
    assert isinstance(described["kind"], str)
    assert isinstance(described["model"], str)
    assert collection.labels() == ["x", "y", "z"]
    assert collection.labels(most=2) == ["x", "y"]
    assert collection.map() is None


def test_another_model_is_refused_with_both_fingerprints(place: Place) -> None:
    place.make()
    place.open(fingerprint=FINGERPRINT).close()
    other = "cd" * 32
    with pytest.raises(ValueError, match=f"{FINGERPRINT}.*{other}.*again"):
        place.open(fingerprint=other)
    place.open().close()  # It was given back.


def test_reading_only_changes_nothing(place: Place) -> None:
    place.make([record("a", 1)])
    opened = place.open(read_only=True)
    for change in (
        lambda: opened.upsert([record("b", 2)]),
        lambda: opened.delete(["a"]),
        opened.rebuild,
    ):
        with pytest.raises(ValueError, match="reading only"):
            change()
    assert ids(opened.search(unit(1)[None], 3)[0]) == ["a"]
    opened.close()


def test_many_threads_search_and_write(collection: Collection) -> None:
    collection.upsert([record(number, number) for number in range(50)])
    failures = []

    def work(thread: int) -> None:
        try:
            for step in range(10):
                own = f"{thread}-{step}"
                collection.upsert([record(own, 1000 + 10 * thread + step)])
                (hits,) = collection.search(unit(1000 + 10 * thread + step)[None], 3)
                assert hits[0].id == own
                assert 1 <= len(hits) <= 3  # Another may have deleted one meanwhile.
                if step % 2:
                    assert collection.delete([own]) == 1
                if thread == 0 and step == 5:
                    collection.rebuild()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(each,)) for each in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(collection) == 50 + 4 * 5


@pytest.mark.slow
def test_a_thousand_searches_at_once_are_answered(collection: Collection) -> None:
    collection.upsert([record(number, number, label="x") for number in range(100)])
    where = {"label": "x"}

    def nearest(number: int) -> int:
        (hits,) = collection.search(unit(number % 100)[None], 1, where)
        return hits[0].id

    with ThreadPoolExecutor(64) as threads:
        assert list(threads.map(nearest, range(1000))) == [*range(100)] * 10


IDS = st.sampled_from([0, 1, 2, "0", "1", "a", "é/"])
NUMBERS = st.integers(-3, 3) | st.sampled_from([0.5, -1.5])
VALUES = NUMBERS | st.sampled_from(["", "a", "b", "é"])
VECTORS = st.lists(st.integers(-3, 3), min_size=4, max_size=4).filter(any)
RECORDS = st.builds(
    lambda record_id, vector, label, metadata: Record(
        record_id, np.array(vector, np.float32), label, None, metadata
    ),
    IDS,
    VECTORS,
    st.none() | st.sampled_from(["x", "y"]),
    st.dictionaries(st.sampled_from(["p", "q"]), VALUES | st.none(), max_size=2),
)
OPERATORS = st.sampled_from(["$eq", "$ne", "$lt", "$lte", "$gt", "$gte"])
CONDITIONS = VALUES | st.one_of(
    st.dictionaries(OPERATORS, VALUES, min_size=1, max_size=2),
    st.fixed_dictionaries({"$in": st.lists(VALUES, max_size=3)}),
)
LABELS = st.sampled_from(["x", "y", "w"])
FILTERS = st.fixed_dictionaries(
    {},
    optional={
        "p": CONDITIONS,
        "q": CONDITIONS,
        "label": LABELS | st.dictionaries(OPERATORS, LABELS, min_size=1, max_size=1),
    },
)
STEPS = st.one_of(
    st.tuples(
        st.just("upsert"),
        st.lists(RECORDS, max_size=5, unique_by=lambda r: (type(r.id), r.id)),
    ),
    st.tuples(st.just("delete"), st.lists(IDS, max_size=3)),
    st.tuples(st.just("search"), st.tuples(VECTORS, st.integers(1, 8), FILTERS)),
    st.tuples(st.just("rebuild"), st.none()),
    st.tuples(st.just("reopen"), st.none()),
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(STEPS, min_size=4, max_size=15))
def test_any_order_of_changes_equals_plain_loops(steps: list) -> None:
    with tempfile.TemporaryDirectory() as folder:
        where = f"{folder}/c"
        build_collection(
            Path(where), [], fingerprint="f", embedding_dim=4, kind="exact"
        )
        follow(where, steps)


@pytest.mark.slow
@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=st.lists(STEPS, min_size=4, max_size=15))
def test_milvus_equals_plain_loops(emptied_of_four: str, steps: list) -> None:
    opened = open_collection(emptied_of_four)
    opened._client.delete(opened.name, filter='id != ""')
    opened.close()
    follow(emptied_of_four, [step for step in steps if step[0] != "rebuild"])


@pytest.fixture
def emptied_of_four(milvus: Place) -> str:
    milvus.make(embedding_dim=4)
    return milvus.where


@pytest.mark.slow
@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=st.lists(STEPS, min_size=4, max_size=15))
@pytest.mark.parametrize("kind", ["exact", "hnsw(links=4, ef_build=8, ef=1)"])
def test_postgres_equals_plain_loops(postgres: Place, kind: str, steps: list) -> None:
    postgres.make(embedding_dim=4, kind=kind, overwrite=True)
    follow(postgres.where, steps)


def follow(where: str, steps: list) -> None:
    """Takes the steps with a collection and an oracle, and compares what they say."""
    oracle, collection = Oracle(), open_collection(where)
    for step, value in steps:
        if step == "upsert":
            collection.upsert(value)
            oracle.upsert(value)
        elif step == "delete":
            assert collection.delete(value) == oracle.delete(value)
        elif step == "rebuild":
            collection.rebuild()
        elif step == "reopen":
            collection.close()
            collection = open_collection(where)
        else:
            compare(collection, oracle, *value)
        assert len(collection) == len(oracle.records)
    compare(collection, oracle, [1, 2, 3, 4], 8, {})
    found = collection.get(list(oracle.records))
    for stored, expected in zip(found, oracle.records.values(), strict=True):
        assert (stored.label, stored.metadata) == (expected.label, expected.metadata)
    collection.close()


def compare(
    collection: Collection, oracle: Oracle, query: list, k: int, where: dict
) -> None:
    expected = oracle.scores(query, where)
    (hits,) = collection.search(np.array([query], np.float32), k, where)
    assert len(set(map(repr, ids(hits)))) == len(hits)
    assert [hit.score for hit in hits] == pytest.approx(
        sorted(expected.values(), reverse=True)[:k], abs=1e-6
    )
    for hit in hits:
        assert hit.score == pytest.approx(expected[hit.id], abs=1e-6)
