import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from dce_tf.index import Collection, Record, build_collection, open_collection

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


@pytest.fixture(params=["local"])
def place(request: pytest.FixtureRequest) -> Place:
    return request.getfixturevalue(request.param)


@pytest.fixture
def collection(place: Place) -> Iterator[Collection]:
    place.make()
    opened = place.open()
    yield opened
    opened.close()
