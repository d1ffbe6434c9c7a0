import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import psycopg
import pytest

from benchmarks.postgres_server import PostgresServer
from dce_tf.index import Collection, Record, build_collection, open_collection
from dce_tf.index.milvus.building import build_milvus
from dce_tf.index.milvus.conditions import Address as MilvusAddress
from dce_tf.index.postgres.address import Address as PostgresAddress
from dce_tf.index.postgres.building import build_postgres

DIM = 8
FINGERPRINT = "ab" * 32


@dataclasses.dataclass
class Place:
    """Where a collection can be made and opened again."""

    where: str
    make: Callable[..., object]

    def open(self, **options: object) -> Collection:
        return open_collection(self.where, **options)


def unit(seed: int, dim: int = DIM) -> np.ndarray:
    vector = np.random.default_rng(seed).normal(size=dim)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def record(record_id: str | int, seed: int, **values: object) -> Record:
    return Record(record_id, unit(seed), **values)


@pytest.fixture
def local(tmp_path: Path) -> Place:
    folder = tmp_path / "things"

    def make(records: Sequence[Record] = (), **options: object) -> None:
        options = {"fingerprint": FINGERPRINT, "embedding_dim": DIM, **options}
        build_collection(folder, [records], **options)

    return Place(str(folder), make)


def milvus_place(folder: Path) -> Place:
    address = MilvusAddress(str(folder / "milvus.db"), "things")

    def make(records: Sequence[Record] = (), **options: object) -> None:
        options = {"fingerprint": FINGERPRINT, "embedding_dim": DIM, **options}
        build_milvus(address, [records], **options)

    return Place(str(address), make)


@pytest.fixture
def milvus(tmp_path: Path) -> Place:
    return milvus_place(tmp_path)


def postgres_place(dsn: str, name: str = "things") -> Place:
    address = PostgresAddress(dsn, name)

    def make(records: Sequence[Record] = (), **options: object) -> None:
        options = {"fingerprint": FINGERPRINT, "embedding_dim": DIM, **options}
        build_postgres(address, [records], **options)

    return Place(str(address), make)


@pytest.fixture
def postgres(postgres_server: PostgresServer) -> Place:
    """A place in a database without any table of ours."""
    with psycopg.connect(postgres_server.dsn) as connection:
        connection.execute("DROP SCHEMA IF EXISTS dce_tf CASCADE")
    return postgres_place(postgres_server.dsn)


@pytest.fixture(params=["local", "milvus", "postgres"])
def place(request: pytest.FixtureRequest) -> Place:
    return request.getfixturevalue(request.param)


@pytest.fixture
def fresh(place: Place) -> Iterator[Collection]:
    place.make()
    opened = place.open()
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def emptied(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place in Milvus, which takes a second to make one."""
    place = milvus_place(tmp_path_factory.mktemp("milvus"))
    place.make()
    return place


@pytest.fixture(scope="session")
def emptied_postgres(postgres_server: PostgresServer) -> Place:
    """A place in a database of its own, which stays."""
    with psycopg.connect(postgres_server.dsn, autocommit=True) as connection:
        connection.execute("CREATE DATABASE stays")
    place = postgres_place(postgres_server.dsn.replace("/postgres?", "/stays?"))
    place.make()
    return place


@pytest.fixture(params=["local", "emptied", "emptied_postgres"])
def collection(request: pytest.FixtureRequest) -> Iterator[Collection]:
    place = request.getfixturevalue(request.param)
    if request.param == "local":
        place.make()
    opened = place.open()
    yield opened
    if request.param == "emptied":
        opened._client.delete(opened.name, filter='id != ""')
    elif request.param == "emptied_postgres":
        with opened._connections.taken() as connection:
            connection.execute(f"TRUNCATE dce_tf.records_{opened._home.number}")
    opened.close()


@pytest.fixture
def folder(local: Place) -> Path:
    return Path(local.where)


def many(count: int) -> list:
    return [record(number, number, label=f"c{number % 3}") for number in range(count)]


def found(collection, seed: int, k: int = 3) -> list:
    (hits,) = collection.search(unit(seed)[None], k)
    return [hit.id for hit in hits]
