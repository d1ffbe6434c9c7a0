import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.postgres_recall import find
from benchmarks.postgres_recall import recall as shared
from benchmarks.postgres_server import PostgresServer
from benchmarks.search import LATENT, SPREAD, draw
from dce_tf.base.errors import UsageError
from dce_tf.index import Collection, Record, open_collection
from dce_tf.index.filters import parse_filter
from dce_tf.index.maps import MapPlan
from dce_tf.index.postgres.address import Address
from dce_tf.index.postgres.building import build_postgres
from dce_tf.index.postgres.conditions import as_sql, choose_kind, decode_id, encode_id
from tests.index.conftest import DIM, FINGERPRINT, Place, postgres_place, record, unit

SECRET = "geh3im"


@pytest.mark.parametrize(
    ("where", "shown"),
    [
        ("postgres:postgresql://host/db#things", None),
        ("postgres:postgresql://me@host:5433/db?sslmode=require#my-things", None),
        ("postgres:postgresql://me@[::1]:5433,other/db#things", None),
        ("postgres:host=/tmp dbname=db#_1", None),
        ("postgres:#things", None),
        ("postgres://me@host/db#things", "postgres:postgresql://me@host/db#things"),
        ("postgresql://host/db#things", "postgres:postgresql://host/db#things"),
        (
            f"postgres://me:{SECRET}@host/db#things",
            "postgres:postgresql://me@host/db#things",
        ),
        (
            f"postgres://host/db?password={SECRET}&user=me&sslpassword={SECRET}#t",
            "postgres:postgresql://host/db?user=me#t",
        ),
        (
            f"postgres://host/db?p%61ssword={SECRET}#t",
            "postgres:postgresql://host/db#t",
        ),
        (f"postgres:host=h password={SECRET} user=me#t", "postgres:host=h user=me#t"),
        (f"postgres:password = '{SECRET} \\' x' user=me#t", "postgres:user=me#t"),
    ],
)
def test_address_comes_back_without_the_password(where: str, shown: str | None) -> None:
    address = Address.parse(where)
    assert str(address) == (shown or where)
    assert str(Address.parse(str(address))) == str(address)
    assert SECRET not in repr(address)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (f"postgres:postgresql://me:{SECRET}@host/db", "expected postgres:DSN#NAME"),
        (f"postgres:me:{SECRET}@host/db#things", "expected postgres:DSN#NAME"),
        (f"postgres:host=h password=a {SECRET}#things", "expected postgres:DSN#NAME"),
        (f"postgres://me:a@{SECRET}@host/db#things", "write them in a password"),
        (f"postgres://me:a/{SECRET}@host/db#things", "write them in a password"),
        (f"postgres://me:a?{SECRET}@host/db#things", "write them in a password"),
        (f"postgres://me:{SECRET}/db#things", "port is no number"),
        (f"postgres://me:{SECRET}@host/db?nothing=1#things", "cannot read"),
        (f"postgres:host=h nothing={SECRET}#things", "cannot read"),
        (f"postgres://me:{SECRET}@host/db#", "cannot be called ''"),
        (f"postgres://me:{SECRET}@host/db#a b", "cannot be called 'a b'"),
        (f"postgres://me:{SECRET}@host/db#{'x' * 129}", "cannot be called"),
    ],
)
def test_address_that_is_none_is_refused_without_the_password(
    where: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        open_collection(where)
    assert not shows(caught.value, SECRET) or f"nothing={SECRET}" in where


def shows(error: BaseException | None, secret: str) -> bool:
    """Returns whether a secret is in an error, or in one that it comes from."""
    while error is not None:
        if secret in str(error):
            return True
        error = error.__cause__ or (
            None if error.__suppress_context__ else error.__context__
        )
    return False


@settings(deadline=None, derandomize=True)
@given(st.text(st.characters(codec="utf-8"), min_size=1) | st.integers())
def test_id_comes_back_from_its_text(record_id: str | int) -> None:
    assert decode_id(encode_id(record_id)) == record_id
    assert type(decode_id(encode_id(record_id))) is type(record_id)


@pytest.mark.parametrize(
    ("where", "expected", "parameters"),
    [
        ({}, "TRUE", []),
        ({"label": "x"}, "(coalesce(label = %s, FALSE))", ["x"]),
        ({"label": {"$ne": "x"}}, "(label IS DISTINCT FROM %s)", ["x"]),
        (
            {"a'b": {"$in": [1, "1"]}, "c": {"$ne": True}},
            "(fields @> ANY(%s::jsonb[])) AND (NOT (fields @> %s::jsonb))",
            [['{"a\'b": 1}', '{"a\'b": "1"}'], '{"c": true}'],
        ),
        (
            {"a b": {"$lte": 2.5}},
            "(coalesce(jsonb_typeof(fields -> %s) = 'number' AND (fields -> %s) <= "
            "%s::jsonb, FALSE))",
            ["a b", "a b", "2.5"],
        ),
    ],
)
def test_filter_is_said_with_values_apart(
    where: dict, expected: str, parameters: list
) -> None:
    assert as_sql(parse_filter(where)) == (expected, parameters)


WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


@settings(deadline=None, derandomize=True)
@given(WORDS, WORDS | st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_no_word_of_a_filter_is_in_its_sql(field: str, value: str | float) -> None:
    for operator in ("$eq", "$ne", "$lt", "$gte"):
        try:
            conditions = parse_filter({field: {operator: value}})
        except ValueError:
            continue
        plain = parse_filter({"label" if field == "label" else "f": {operator: "v"}})
        number = parse_filter({"f": {operator: 1}})
        like = plain if isinstance(value, str) else number
        assert as_sql(conditions)[0] == as_sql(like)[0]


@pytest.mark.parametrize(
    ("kind", "dim", "count", "expected"),
    [
        ("auto", 128, 20_000, "exact"),
        ("auto", 128, 20_001, "hnsw"),
        ("auto", 2001, 10**6, "exact"),
        ("exact", 16_000, 10**6, "exact"),
        ("hnsw(ef=50)", 2000, 0, "hnsw(ef=50)"),
    ],
)
def test_kind_goes_by_the_count(kind: str, dim: int, count: int, expected: str) -> None:
    assert choose_kind(kind, dim, count) == expected


@pytest.mark.parametrize(
    ("kind", "dim", "message"),
    [
        ("hnws", 8, "Did you mean 'hnsw'"),
        ("ivf_sq", 8, "there are exact, hnsw and auto"),
        ("int8", 2000, "The nearest that works is hnsw"),
        ("binary(bits=64)", 2001, "The nearest that works is exact"),
        ("hnsw", 2001, "at most 2000"),
        ("hnsw(links=101, ef_build=500)", 8, "at most 100 links"),
        ("hnsw(links=50)", 8, "twice the links"),
        ("hnsw(ef_build=1001)", 8, "to 1000"),
        ("hnsw(ef=1001)", 8, "at most 1000"),
    ],
)
def test_kind_that_postgres_has_not_is_refused(
    kind: str, dim: int, message: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        choose_kind(kind, dim, 10)


def rows(count: int, dim: int = 32) -> list[Record]:
    vectors = np.random.default_rng(0).normal(size=(count, dim)).astype(np.float32)
    return [
        Record(number, vector, f"c{number % 100}")
        for number, vector in enumerate(vectors)
    ]


def recall(collection: Collection, exact: Collection, queries: np.ndarray) -> float:
    found = collection.search(queries, 10)
    wanted = exact.search(queries, 10)
    shared = [
        len({hit.id for hit in one} & {hit.id for hit in other})
        for one, other in zip(found, wanted, strict=True)
    ]
    return sum(shared) / (10 * len(queries))


def uses_the_graph(collection: Collection) -> bool:
    home = collection._home
    query = (
        f"EXPLAIN SELECT id FROM dce_tf.records_{home.number} "
        f"ORDER BY vector <#> '{[1.0] * collection.embedding_dim}' LIMIT 10"
    )
    with collection._connections.transaction(search_path=home.path) as connection:
        plan = connection.execute(query).fetchall()
    return "_hnsw" in str(plan)


@pytest.mark.slow
def test_graph_finds_nearly_what_every_record_does(
    postgres: Place, postgres_server: PostgresServer
) -> None:
    records = rows(3000)
    postgres.make(records, embedding_dim=32, kind="hnsw")
    other = postgres_place(postgres_server.dsn, "every.one")
    other.make(records, embedding_dim=32, kind="exact")
    graph, exact = postgres.open(), other.open()
    queries = np.random.default_rng(1).normal(size=(100, 32)).astype(np.float32)
    assert uses_the_graph(graph)
    assert not uses_the_graph(exact)
    assert recall(exact, exact, queries) == 1
    assert recall(graph, exact, queries) > 0.98
    assert len(graph.search(queries[:1], 2000)[0]) == 2000
    graph.close()
    exact.close()


@pytest.mark.slow
def test_graph_finds_what_the_documentation_says(
    postgres: Place, postgres_server: PostgresServer
) -> None:
    del postgres  # Which empties the database.
    vectors, queries = draw(5000, SPREAD, LATENT)
    true, _, _ = find(postgres_server.dsn, "exact", vectors, queries[:200])
    for kind, floor in (("hnsw(ef=16)", 0.98), ("hnsw", 0.998)):
        found, _, _ = find(postgres_server.dsn, kind, vectors, queries[:200])
        assert shared(found, true) >= floor


@pytest.mark.slow
def test_graph_finds_as_many_as_there_are(postgres: Place) -> None:
    postgres.make(rows(3000), embedding_dim=32, kind="hnsw(ef=10)")
    opened = postgres.open()
    query = rows(3000)[1].vector[None]
    nearest = [hit.id for hit in opened.search(query, 2900)[0]]
    (hits,) = opened.search(query, 10, {"label": "c7"})
    wanted = [each for each in nearest if each % 100 == 7][:10]
    assert [hit.id for hit in hits] == wanted
    opened.delete(nearest[:500])
    assert [hit.id for hit in opened.search(query, 5)[0]] == nearest[500:505]
    opened.rebuild()
    assert uses_the_graph(opened)
    assert len(opened.search(query, 10)[0]) == 10
    opened.close()


def test_kind_follows_the_count_when_it_is_rebuilt(
    postgres: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgres.make()
    opened, other = postgres.open(), postgres.open()
    opened.upsert([record(number, number) for number in range(20)])
    for most, kind in ((10, "hnsw"), (10, "hnsw"), (100, "exact")):
        monkeypatch.setattr("dce_tf.index.postgres.conditions.MOST_EXACT", most)
        opened.rebuild()
        assert opened.describe()["kind"] == other.describe()["kind"] == kind
        for each in (opened, other):
            assert each.search(unit(7)[None], 1)[0][0].id == 7
    opened.close()
    other.close()


def test_collection_is_replaced_while_others_read_it(postgres: Place) -> None:
    postgres.make([record("old", 1)])
    with pytest.raises(UsageError, match="--overwrite"):
        postgres.make([record("new", 2)])
    opened = postgres.open()
    postgres.make([record("new", 2)], overwrite=True)
    assert [hit.id for hit in opened.search(unit(1)[None], 3)[0]] == ["new"]
    opened.upsert([record("newer", 3)])
    assert len(opened) == 2
    postgres.make([record("x", 2)], fingerprint="cd" * 32, overwrite=True)
    for ask in (lambda: opened.search(unit(1)[None], 3), opened.describe):
        with pytest.raises(OSError, match="another model"):
            ask()
    opened.close()


@pytest.mark.parametrize("kind", ["exact", "hnsw"])
def test_build_that_fails_leaves_what_was_there(postgres: Place, kind: str) -> None:
    postgres.make([record("old", 1)])
    for bad, message in (
        ([[record("a", 1), record("b", 2)], [record("a", 3)]], "'a' twice"),
        ([[record("a", 1)], [record("b", 2, label="")]], "label"),
    ):
        with pytest.raises(ValueError, match=message):
            build_postgres(
                Address.parse(postgres.where),
                bad,
                fingerprint=FINGERPRINT,
                embedding_dim=DIM,
                kind=kind,
                overwrite=True,
            )
    opened = postgres.open()
    assert [each is None for each in opened.get(["old", "a"])] == [False, True]
    with opened._connections.taken() as connection:
        query = "SELECT count(*) FROM pg_tables WHERE tablename LIKE 'records%'"
        assert connection.execute(query).fetchall() == [(1,)]
    opened.close()


def test_every_name_of_a_collection_is_one(postgres_server: PostgresServer) -> None:
    long = "x" * 127  # PostgreSQL would cut both to the same 63 letters.
    names = [f"{long}a", f"{long}b", "a.b-c", "select", "0"]
    for number, name in enumerate(names):
        postgres_place(postgres_server.dsn, name).make(
            [record(number, number)], overwrite=True
        )
    for number, name in enumerate(names):
        opened = postgres_place(postgres_server.dsn, name).open()
        assert opened.name == name
        assert opened.get([number])[0].id == number
        opened.close()


def test_what_is_not_there_is_not_opened(
    postgres: Place, postgres_server: PostgresServer
) -> None:
    with pytest.raises(ValueError, match=r"no such collection.*index EMBEDDINGS"):
        postgres.open()
    postgres.make()
    with pytest.raises(ValueError, match=r"no such collection.*index EMBEDDINGS"):
        postgres_place(postgres_server.dsn, "others").open()


def test_tables_of_another_version_are_refused(
    postgres: Place, postgres_server: PostgresServer
) -> None:
    postgres.make([record("a", 1)])
    with psycopg.connect(postgres_server.dsn) as connection:
        connection.execute("UPDATE dce_tf.schema_version SET version = 7")
    for ask in (postgres.open, lambda: postgres.make(overwrite=True)):
        with pytest.raises(ValueError, match=r"have the version 7; .* version 1\. Use"):
            ask()


def test_database_of_another_encoding_is_refused(
    postgres_server: PostgresServer,
) -> None:
    with psycopg.connect(postgres_server.dsn, autocommit=True) as connection:
        connection.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
    dsn = postgres_server.dsn.replace("/postgres?", "/latin?")
    with pytest.raises(ValueError, match="encoding is LATIN1; expected UTF8"):
        postgres_place(dsn).make()


def test_pgvector_in_another_schema_is_found(
    postgres: Place, postgres_server: PostgresServer
) -> None:
    with psycopg.connect(postgres_server.dsn) as connection:
        connection.execute("DROP EXTENSION IF EXISTS vector CASCADE")
        connection.execute('CREATE SCHEMA "Ex\'t ""1"')
        connection.execute('CREATE EXTENSION vector SCHEMA "Ex\'t ""1"')
    try:
        postgres.make([record(n, n) for n in range(9)], kind="hnsw")
        opened = postgres.open()
        opened.rebuild()
        assert opened.search(unit(7)[None], 1)[0][0].id == 7
        opened.close()
    finally:
        with psycopg.connect(postgres_server.dsn) as connection:
            connection.execute('DROP SCHEMA "Ex\'t ""1" CASCADE')


def test_who_may_not_is_told_so(
    postgres: Place, postgres_server: PostgresServer
) -> None:
    with psycopg.connect(postgres_server.dsn) as connection:
        connection.execute("DROP EXTENSION IF EXISTS vector CASCADE")
        connection.execute("DROP ROLE IF EXISTS guest")
        connection.execute("CREATE ROLE guest LOGIN")
    guest = postgres_place(postgres_server.dsn.replace("//postgres@", "//guest@"))
    with pytest.raises(OSError, match="permission denied"):
        guest.make()
    postgres.make([record("a", 1)])
    with pytest.raises(OSError, match="permission denied"):
        guest.open()


@pytest.fixture
def collection(emptied_postgres: Place) -> Iterator[Collection]:
    opened = emptied_postgres.open()
    yield opened
    with opened._connections.taken() as connection:
        connection.execute(f"TRUNCATE dce_tf.records_{opened._home.number}")
    opened.close()


@pytest.mark.parametrize(
    "values",
    [
        {"record_id": "a\0b"},
        {"label": "a\0b"},
        {"path": "a\ud800b"},
        {"metadata": {"x": "a\0b"}},
        {"metadata": {"x": "\ud800"}},
    ],
    ids=ascii,
)
def test_text_that_postgres_cannot_store_is_refused(
    collection: Collection, values: dict
) -> None:
    with pytest.raises(ValueError, match=r"character 0|without '\.\.'"):
        collection.upsert(
            [record("fine", 1), record(**{"record_id": "b", "seed": 2, **values})]
        )
    assert len(collection) == 0


def test_what_no_filter_can_name_comes_back_as_it_was(collection: Collection) -> None:
    metadata = {
        "whole": 1e300,
        "one": 1.0,
        "large": 10**400,
        "deep": {"text": "a\0b\ud800", "z": 1, "a": [1, {}]},
        'quo"ted': 1,
        "con\0trol": None,
    }
    collection.upsert([record("a", 1, metadata=metadata)])
    (found,) = collection.get(["a"])
    assert found.metadata == metadata
    assert repr(found.metadata) == repr(metadata)
    assert set(metadata) <= set(collection.describe()["fields"])
    for where in ({"whole": 1e300}, {"one": {"$lte": 1}}, {"large": {"$gt": 5}}):
        assert len(collection.search(unit(1)[None], 3, where)[0]) == 1


def test_character_0_is_found_nowhere(collection: Collection) -> None:
    collection.upsert([record("a", 1, label="x", metadata={"size": "s"})])
    assert collection.get(["a\0"]) == [None]
    assert collection.delete(["a\0"]) == 0
    assert collection.thumbnail("a\0") is None
    for where in ({"label": "\0"}, {"size": {"$ne": "\0"}}, {"size": {"$in": ["\0"]}}):
        with pytest.raises(ValueError, match="character 0"):
            collection.search(unit(1)[None], 3, where)


def test_words_of_sql_change_nothing(collection: Collection) -> None:
    table = f"dce_tf.records_{collection._home.number}"
    words = [
        f"'; DROP TABLE {table}; --",
        f'"; DROP TABLE {table}; --',
        f"\\'; DROP TABLE {table}; --",
        f"$$; DROP TABLE {table}; --",
        "%s %(x)s %% {} {0}",
        "') OR TRUE --",
        "{\"a\": 1}', '{}",
    ]
    collection.upsert(
        [
            record(word, number, label=word, path=f"p/{word}", metadata={"x": word})
            for number, word in enumerate(words)
        ]
    )
    for word in words:
        for where in ({"label": word}, {"x": word}, {"x": {"$in": [word]}}):
            (hits,) = collection.search(unit(0)[None], 9, where)
            assert [hit.id for hit in hits] == [word]
        (found,) = collection.get([word])
        assert (found.path, found.metadata) == (f"p/{word}", {"x": word})
        if '"' not in word and "\\" not in word:
            assert collection.search(unit(0)[None], 9, {word: 1}) == [[]]
            assert len(collection.search(unit(0)[None], 9, {word: {"$ne": 1}})[0]) == 7
    assert collection.delete(words[:3]) == 3
    assert collection.labels() == sorted(words[3:])


def test_map_of_many_points_comes_back(postgres: Place) -> None:
    postgres.make(
        [record(f"n{number}", number, label="ü") for number in range(40)],
        map_plan=MapPlan(points=30, clusters=3),
    )
    opened = postgres.open()
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


def test_what_one_stores_the_other_sees_at_once(emptied_postgres: Place) -> None:
    one, other = emptied_postgres.open(), emptied_postgres.open()
    for number in range(20):
        one.upsert([record(number, number, label="x", metadata={f"f{number}": 1})])
        (hits,) = other.search(unit(number)[None], 1, {"label": "x"})
        assert hits[0].id == number
        assert f"f{number}" in other.describe()["fields"]
        assert other.delete([number]) == 1
        assert one.get([number]) == [None]
    one.close()
    other.close()


def test_writers_of_the_same_records_never_wait_for_each_other(
    emptied_postgres: Place,
) -> None:
    collections = [emptied_postgres.open() for _ in range(4)]
    begun = threading.Barrier(4)

    def write(number: int) -> None:
        rng = np.random.default_rng(number)
        begun.wait()
        for step in range(15):
            ids = rng.permutation(40).tolist()
            if step % 3:
                metadata = {f"g{n}": step for n in rng.permutation(9).tolist()}
                collections[number].upsert(
                    [record(each, each, metadata=metadata) for each in ids]
                )
            else:
                collections[number].delete(ids)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(write, range(4)))
    collections[0].delete(list(range(40)))
    assert len(collections[1]) == 0
    for each in collections:
        each.close()


def test_only_one_rebuilds_at_a_time(emptied_postgres: Place) -> None:
    one, other = emptied_postgres.open(), emptied_postgres.open()
    key = (0x64636574 << 32) | one._home.number
    with one._connections.taken() as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [key])
        with pytest.raises(ValueError, match="being rebuilt by another"):
            other.rebuild()
        connection.execute("SELECT pg_advisory_unlock(%s)", [key])
    other.rebuild()
    one.close()
    other.close()


def test_closed_collection_is_not_used(emptied_postgres: Place) -> None:
    opened = emptied_postgres.open()
    opened.close()
    with pytest.raises(ValueError, match="is closed"):
        opened.search(unit(0)[None], 1)


def test_writing_is_synchronous_where_the_server_is_not_by_default(
    collection: Collection,
) -> None:
    for said, expected in (("off", "on"), ("remote_write", "remote_write")):
        with collection._connections.taken() as connection:
            connection.execute(f"SET synchronous_commit = '{said}'")
        with collection._connections.transaction(writing=True) as connection:
            found = connection.execute("SHOW synchronous_commit").fetchall()
        assert found == [(expected,)]


def test_wrong_password_is_said_and_not_shown(
    own_postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for password, hint in ((SECRET, "authentication failed"), ("", "no password")):
        monkeypatch.setenv("PGPASSWORD", password)
        with pytest.raises(OSError, match=f"cannot be reached: .*{hint}") as caught:
            postgres_place(own_postgres_server.dsn).make()
        assert not shows(caught.value, SECRET)
    wrong = own_postgres_server.dsn.replace("postgres@", f"postgres:{SECRET}@")
    with pytest.raises(OSError, match="authentication failed") as caught:
        open_collection(f"postgres:{wrong}#things")
    assert not shows(caught.value, SECRET)
    right = own_postgres_server.dsn.replace(
        "postgres@", f"postgres:{own_postgres_server.PASSWORD}@"
    )
    address = Address(right, "things")
    build_postgres(address, [], fingerprint=FINGERPRINT, embedding_dim=DIM)
    where = f"postgres:{right}#things"
    with pytest.raises(ValueError, match="cannot be compared") as caught:
        open_collection(where, fingerprint="cd" * 32)
    assert not shows(caught.value, own_postgres_server.PASSWORD)
    opened = open_collection(where)
    own_postgres_server.kill()
    with pytest.raises(OSError, match="things") as caught:
        len(opened)
    assert not shows(caught.value, own_postgres_server.PASSWORD)


def test_nothing_that_was_stored_is_lost_when_the_server_is_killed(
    own_postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", own_postgres_server.PASSWORD)
    place = postgres_place(own_postgres_server.dsn)
    place.make([record("made", 1)], kind="hnsw")
    with psycopg.connect(own_postgres_server.dsn, autocommit=True) as connection:
        # As careless as can be.
        connection.execute("ALTER SYSTEM SET synchronous_commit = off")
        connection.execute("ALTER SYSTEM SET wal_writer_delay = '10s'")
        connection.execute("SELECT pg_reload_conf()")
    opened = place.open()
    stored: set[str] = set()
    lock = threading.Lock()

    def write(thread: int, enough: threading.Event) -> None:
        for step in range(100_000):
            name = f"{thread}-{step}-{len(stored)}"
            try:
                opened.upsert([record(name, step)])
            except OSError:
                return
            with lock:
                stored.add(name)
                if len(stored) % 50 == 0:
                    enough.set()
        raise AssertionError("the server was not killed")

    for _ in range(2):
        enough = threading.Event()
        with ThreadPoolExecutor(4) as threads:
            writing = [threads.submit(write, n, enough) for n in range(4)]
            assert enough.wait(60)
            own_postgres_server.kill()
            for each in writing:
                each.result()
        with pytest.raises(OSError, match="things"):
            opened.search(unit(0)[None], 1)
        own_postgres_server.start()
        # The collection that was open goes on by itself.
        found = opened.get(sorted(stored))
        assert [each.id for each in found if each] == sorted(stored)
        assert len(opened) >= len(stored) + 1
        assert opened.search(unit(1)[None], 1)[0][0].score == pytest.approx(1)
        own_postgres_server.kill()
        own_postgres_server.start()
        # Nobody was told that the connections that nobody used have ended.
        assert len(opened) >= len(stored) + 1
    opened.close()
