import dataclasses

import numpy as np
import pytest

from dce_tf.datasets import Images, Search, Splits
from dce_tf.doctor import leaks
from dce_tf.doctor.duplicates import Nearness, find_copies
from dce_tf.doctor.leaks import AS_IT_IS, NO_COPIES, NO_LEAKS, score_leaks
from dce_tf.doctor.nearest import find_nearest
from dce_tf.doctor.population import Population
from dce_tf.retrieval import evaluate_retrieval
from tests.doctor.drawn import DIM, unit

CLASSES, EACH = 6, 4


def part(name: str, first: int, labels: np.ndarray) -> Images:
    names = tuple(f"class {label + first}" for label in range(CLASSES))
    return Images(
        tuple(f"/{name}/{n}.jpg" for n in range(len(labels))),
        labels.astype(np.int32),
        names,
    )


def data(*, leave_one_out: bool) -> tuple[Splits, Population, np.ndarray]:
    """Returns images in no order that an embedding knows nothing of."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(CLASSES), EACH)
    train = part("train", 100, rng.permutation(labels))
    if leave_one_out:
        query = gallery = part("test", 0, rng.permutation(labels))
    else:
        query = part("query", 0, rng.permutation(labels))
        gallery = part("gallery", 0, rng.permutation(labels))
    splits = Splits(train, None, (Search("test", query, gallery),))
    population = Population.of(splits)
    return splits, population, unit(rng.normal(size=(len(population), DIM)))


def scores(splits: Splits, population: Population, vectors: np.ndarray) -> dict:
    copies = find_copies(vectors, find_nearest(vectors), None, Nearness())
    return score_leaks(splits, population, vectors, copies)


def rows_in(population: Population, split: str) -> np.ndarray:
    return np.flatnonzero(population.splits == population.split_names.index(split))


def test_without_copies_there_is_one_row_as_evaluate_scores_it() -> None:
    splits, population, vectors = data(leave_one_out=False)
    found = scores(splits, population, vectors)
    query, gallery = (rows_in(population, name) for name in ("query", "gallery"))
    expected = evaluate_retrieval(
        vectors[query],
        population.labels[query],
        vectors[gallery],
        population.labels[gallery],
    )
    assert list(found) == [AS_IT_IS]
    assert found[AS_IT_IS]["scores"] == pytest.approx(expected)


def test_queries_that_find_themselves_are_left_out() -> None:
    splits, population, vectors = data(leave_one_out=False)
    query, gallery = (rows_in(population, name) for name in ("query", "gallery"))
    firsts = query[np.unique(population.labels[query], return_index=True)[1][:5]]
    for row in firsts:
        same = gallery[population.labels[gallery] == population.labels[row]]
        vectors[same[0]] = vectors[row]
    found = scores(splits, population, vectors)
    before, after = found[AS_IT_IS], found[NO_LEAKS]
    assert after["queries"] == before["queries"] - 5
    assert after["gallery"] == before["gallery"]
    assert after["scores"]["recall@1"] < before["scores"]["recall@1"]


def test_test_images_that_were_trained_on_are_left_out() -> None:
    splits, population, vectors = data(leave_one_out=True)
    test, train = (rows_in(population, name) for name in ("test", "train"))
    vectors[train[:3]] = vectors[test[:3]]
    found = scores(splits, population, vectors)
    assert found[NO_LEAKS]["queries"] == len(test) - 3
    assert NO_COPIES not in found
    one = test[3]
    other = test[4:][population.labels[test[4:]] == population.labels[one]][0]
    vectors[other] = vectors[one]
    found = scores(splits, population, vectors)
    assert found[NO_LEAKS]["queries"] == len(test) - 3
    assert found[NO_COPIES]["queries"] == len(test) - 4


def test_a_class_that_is_left_with_nothing_to_find_costs_no_point() -> None:
    splits, population, vectors = data(leave_one_out=True)
    test, train = (rows_in(population, name) for name in ("test", "train"))
    lone = test[population.labels[test] == population.labels[test[0]]]
    vectors[train[:3]] = vectors[lone[:3]]
    found = scores(splits, population, vectors)
    assert found[NO_LEAKS]["queries"] == len(test) - EACH


def test_queries_go_with_the_last_of_their_gallery() -> None:
    splits, population, vectors = data(leave_one_out=False)
    train, gallery = (rows_in(population, name) for name in ("train", "gallery"))
    lone = gallery[population.labels[gallery] == population.labels[gallery[0]]]
    vectors[train[:EACH]] = vectors[lone]
    found = scores(splits, population, vectors)[NO_LEAKS]
    assert found["queries"] == found["gallery"] == len(gallery) - EACH


def test_of_a_large_test_whole_classes_are_scored(monkeypatch) -> None:
    splits, population, vectors = data(leave_one_out=True)
    monkeypatch.setattr(leaks, "_MOST_SCORED", 3 * EACH + 1)
    assert scores(splits, population, vectors)[AS_IT_IS]["queries"] == 3 * EACH


def test_no_test_is_no_error() -> None:
    splits, population, vectors = data(leave_one_out=True)
    assert scores(dataclasses.replace(splits, tests=()), population, vectors) == {}
