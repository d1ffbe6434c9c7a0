import dataclasses

import numpy as np

from dce_tf.doctor.duplicates import Copies, Nearness, find_copies, find_duplicates
from dce_tf.doctor.findings import Finding
from dce_tf.doctor.nearest import find_nearest
from dce_tf.doctor.pictures import Pictures
from dce_tf.doctor.population import Population
from tests.doctor.drawn import draw, looks


def copies_of(
    vectors: np.ndarray, pictures: Pictures | None, **nearness: float
) -> Copies:
    return find_copies(vectors, find_nearest(vectors), pictures, Nearness(**nearness))


def make_copy(vectors: np.ndarray, pictures: Pictures, row: int, of: int) -> None:
    """Makes a row a copy, byte for byte."""
    vectors[row] = vectors[of]
    pictures.contents[row] = pictures.contents[of]
    pictures.hashes[row] = pictures.hashes[of]


def found(
    population: Population, vectors: np.ndarray, pictures: Pictures | None
) -> list[Finding]:
    return find_duplicates(population, copies_of(vectors, pictures), pictures)


def test_nothing_is_found_where_nothing_is_copied() -> None:
    population, vectors = draw()
    assert found(population, vectors, looks(len(population))) == []


def test_bytes_and_near_copies_are_found_and_told_apart() -> None:
    population, vectors = draw()
    pictures = looks(len(population))
    one, two, three = np.flatnonzero(population.labels == 4)[:3]
    make_copy(vectors, pictures, two, one)
    other, again = np.flatnonzero(population.labels == 5)[:2]
    make_copy(vectors, pictures, again, other)
    pictures.contents[again] += np.uint64(1)
    pictures.hashes[again] ^= np.uint64(0b1011)
    exact, near = sorted(
        found(population, vectors, pictures), key=lambda each: each.text, reverse=True
    )
    assert (exact.kind, exact.rows, exact.others) == ("duplicate", (two,), (one,))
    assert (exact.score, exact.text, exact.suggestion) == (
        1,
        "the same byte for byte",
        "drop",
    )
    assert (near.rows, near.others) == ((again,), (other,))
    assert near.text == "nearly the same (1.000)"
    assert three not in exact.rows


def test_near_takes_both_the_embedding_and_the_hash() -> None:
    population, vectors = draw()
    pictures = looks(len(population))
    one, two = (np.flatnonzero(population.labels == label)[0] for label in (4, 5))
    pictures.hashes[two] = pictures.hashes[one]
    assert found(population, vectors, pictures) == []
    vectors[two] = vectors[one]
    assert len(found(population, vectors, pictures)) == 1
    pictures.hashes[two] ^= np.uint64(2**20 - 1)
    assert found(population, vectors, pictures) == []
    assert len(found(population, vectors, None)) == 1


def test_hashes_of_empty_pictures_tell_nothing() -> None:
    population, vectors = draw()
    pictures = looks(len(population))
    one, two = np.flatnonzero(population.labels == 4)[:2]
    vectors[two] = vectors[one]
    pictures.hashes[two] = pictures.hashes[one]
    pictures.emptiness[[one, two]] = 1
    assert found(population, vectors, pictures) == []


def test_copies_across_splits_and_classes_are_kinds_of_their_own() -> None:
    population, vectors = draw(splits=("train", "query", "gallery"))
    pictures = looks(len(population))
    where = [np.flatnonzero(population.splits == split) for split in range(3)]
    make_copy(vectors, pictures, where[0][0], where[1][0])
    make_copy(vectors, pictures, where[0][1], where[1][0])
    mine = population.labels[where[2][0]]
    other = where[2][population.labels[where[2]] != mine][0]
    make_copy(vectors, pictures, other, where[2][0])
    leak, across = sorted(
        found(population, vectors, pictures), key=lambda each: -len(each.rows)
    )
    assert leak.kind == "leak"
    assert leak.others == (where[1][0],)  # The test is what scores rest on.
    assert sorted(leak.rows) == where[0][:2].tolist()
    assert "in query and train" in leak.text
    assert across.kind == "duplicate_across_classes"
    assert across.suggestion == ""
    assert "called class" in across.text


def test_of_copies_the_largest_is_kept() -> None:
    population, vectors = draw()
    pictures = looks(len(population))
    rows = np.flatnonzero(population.labels == 1)[:3]
    for row in rows[1:]:
        make_copy(vectors, pictures, row, rows[0])
    pictures.sides[rows[1]] = 1000, 1000
    (finding,) = found(population, vectors, pictures)
    assert finding.others == (rows[1],)
    pictures.sides[rows[1]] = 640, 480
    (finding,) = found(population, vectors, pictures)
    assert finding.others == (rows[0],)
    unread = dataclasses.replace(pictures, problems={int(rows[2]): "gone"})
    (finding,) = found(population, vectors, unread)
    assert rows[2] not in finding.rows
