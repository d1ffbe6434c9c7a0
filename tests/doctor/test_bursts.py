import dataclasses

import numpy as np

from dce_tf.doctor.bursts import find_bursts
from dce_tf.doctor.population import Population
from tests.doctor.drawn import alone, draw, looks


def shot(names: list[str], labels: list[int]) -> tuple[Population, np.ndarray]:
    """Returns photographs that hardly differ."""
    population, vectors = draw(2, len(names))
    population = dataclasses.replace(
        population.keep(np.arange(len(names))),
        paths=tuple(names),
        labels=np.array(labels, np.int32),
    )
    return population, np.repeat(vectors[:1], len(names), axis=0)


def rows_of(population: Population, vectors: np.ndarray, **given) -> list[list[int]]:
    groups = given.get("groups", alone(len(vectors)))
    found = find_bursts(population, vectors, given.get("pictures"), groups)
    return [[*each.others, *each.rows] for each in found]


def test_runs_are_in_the_order_of_names_within_a_folder_and_a_class() -> None:
    names = ["a/10.jpg", "a/8.jpg", "a/9.jpg", "b/11.jpg", "b/12.jpg", "a/11.jpg"]
    population, vectors = shot(names, [0, 0, 0, 0, 0, 1])
    assert rows_of(population, vectors) == [[1, 2, 0]]


def test_what_differs_ends_a_run() -> None:
    names = [f"a/{n}.jpg" for n in range(6)]
    population, vectors = shot(names, [0] * 6)
    assert rows_of(population, vectors) == [[0, 1, 2, 3, 4, 5]]
    pictures = looks(6)
    pictures.hashes[:] = pictures.hashes[0]
    pictures.hashes[3:] ^= np.uint64(2**32 - 1)
    both = [[0, 1, 2], [3, 4, 5]]
    assert rows_of(population, vectors, pictures=pictures) == both
    vectors[3:] *= -1
    assert rows_of(population, vectors) == both


def test_copies_are_no_burst() -> None:
    population, vectors = shot([f"a/{n}.jpg" for n in range(4)], [0] * 4)
    assert rows_of(population, vectors, groups=np.array([0, 0, 0, 1])) == []
    assert len(rows_of(population, vectors, groups=np.array([0, 0, 1, 2]))) == 1
