import dataclasses

import numpy as np

from dce_tf.doctor import classes
from dce_tf.doctor.classes import cut_in_two, find_alike, find_twofold
from dce_tf.doctor.nearest import find_nearest
from dce_tf.doctor.population import Population
from tests.doctor.drawn import alone, draw


def merged(population: Population, one: int, other: int) -> Population:
    """Returns the images with two classes as one."""
    labels = np.where(population.labels == other, one, population.labels)
    return dataclasses.replace(population, labels=labels.astype(np.int32))


def divided(population: Population, one: int) -> Population:
    """Returns the images with half of a class, by chance, as a class of its own."""
    labels = population.labels.copy()
    rows = np.flatnonzero(labels == one)
    labels[rows[::2]] = len(population.class_names)
    names = (*population.class_names, "its twin")
    return dataclasses.replace(population, labels=labels, class_names=names)


def test_a_class_under_two_names_is_found() -> None:
    population, vectors = draw(spread=0.2)
    near, groups = find_nearest(vectors), alone(len(vectors))
    assert find_alike(population, near, groups) == []
    twins = divided(population, 3)
    (found,) = find_alike(twins, near, groups)
    assert "its twin (6 images)" in found.text
    assert "class 3 (6 images)" in found.text
    assert found.score > 0.8
    names = {twins.name(row) for row in found.rows}
    assert {twins.name(row) for row in found.others} != names
    assert len(names) == 1
    assert found.suggestion in ("relabel=its twin", "relabel=class 3")


def test_copies_alone_make_no_two_classes_alike() -> None:
    population, vectors = draw(spread=0.2)
    groups = alone(len(vectors))
    one, two = (np.flatnonzero(population.labels == label)[:4] for label in (1, 2))
    vectors[two], groups[two] = vectors[one], groups[one]
    assert find_alike(population, find_nearest(vectors), groups) == []


def test_two_things_under_one_name_are_found() -> None:
    population, vectors = draw(12, 12, spread=0.2)
    assert find_twofold(population, vectors) == []
    both = merged(population, 3, 7)
    (found,) = find_twofold(both, vectors)
    assert found.text == "class 3: 12 and 12 images"
    assert len({population.labels[row] for row in found.rows}) == 1
    assert population.labels[found.others[0]] not in population.labels[[*found.rows]]
    assert found.score > classes.TWO


def test_cutting_in_blocks_is_cutting_at_once(monkeypatch) -> None:
    population, vectors = draw(12, 12, spread=0.2)
    both = merged(population, 3, 7)
    (whole,) = find_twofold(both, vectors)
    monkeypatch.setattr(classes, "_MOST_NUMBERS", 1)
    (blocks,) = find_twofold(both, vectors)
    assert blocks == whole


def test_cut_in_two_finds_two_lumps_of_each_class() -> None:
    rng = np.random.default_rng(0)
    sizes = np.array([9, 14])
    second = np.concatenate([np.arange(9) % 3 == 0, np.arange(14) % 2 == 0])
    x = rng.normal(0, 0.01, (23, 4)).astype(np.float32)
    x[second, 0] += 5
    x[:9, 1] += 100
    explained, cut = cut_in_two(x, sizes)
    for part in (slice(0, 9), slice(9, 23)):
        assert len({(a, b) for a, b in zip(cut[part], second[part], strict=True)}) == 2
    assert (explained > 0.99).all()


def test_few_or_small_classes_are_not_called_two() -> None:
    population, vectors = draw(12, 5, spread=0.2)
    assert find_twofold(merged(population, 3, 7), vectors) == []
    population, vectors = draw(6, 12, spread=0.2)
    assert find_twofold(merged(population, 3, 5), vectors) == []
