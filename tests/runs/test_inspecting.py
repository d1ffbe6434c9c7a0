"""Where a model fails, and what its parts see."""

import itertools

import numpy as np
import pytest

from dce_tf.clustering import Division
from dce_tf.datasets import Images, Search
from dce_tf.evaluation.evaluator import Evaluation, Evaluator
from dce_tf.retrieval import score_search
from dce_tf.runs.inspecting import (
    confusions,
    drift_of,
    find_failures,
    score_sizes,
    typical_images,
)

DIM = 16


def images(labels: np.ndarray, prefix: str = "") -> Images:
    names = tuple(f"class {n}" for n in range(labels.max() + 1))
    paths = tuple(f"{prefix}{n}" for n in range(len(labels)))
    return Images(paths, labels.astype(np.int32), names)


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype("f4")


def evaluated(search: Search, query: np.ndarray, gallery: np.ndarray) -> Evaluation:
    scores = score_search(search, query, gallery, recall_at=(1,))
    return Evaluation(search, scores, {}, query, gallery)


@pytest.fixture
def evaluation() -> Evaluation:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(6), 8)
    centres = rng.normal(size=(6, DIM))
    vectors = unit(centres[labels] + 1.5 * rng.normal(size=(48, DIM)))
    own = images(labels)
    return evaluated(Search("test", own, own), vectors, vectors)


def test_failures_are_those_of_a_plain_loop(evaluation: Evaluation) -> None:
    labels, x = evaluation.search.query.labels, evaluation.query
    expected = {}
    for i in range(len(x)):
        others = [j for j in range(len(x)) if j != i]
        nearest = max(others, key=lambda j: x[i] @ x[j])
        if labels[nearest] != labels[i]:
            own = [j for j in others if labels[j] == labels[i]]
            right = max(own, key=lambda j: x[i] @ x[j])
            score = float(x[i] @ x[nearest])
            expected[str(i)] = str(nearest), str(right), score
    assert expected
    found = find_failures(evaluation, "none", 0)
    scores = [each.wrong_score for each in found]
    assert scores == sorted(scores, reverse=True)
    got = {each.query: (each.wrong, each.right, each.wrong_score) for each in found}
    assert got.keys() == expected.keys()
    for query, (wrong, right, score) in expected.items():
        assert got[query] == (wrong, right, pytest.approx(score, abs=1e-6))
    wrong = 1 - evaluation.scores["recall@1"]
    assert len(found) / len(x) == pytest.approx(wrong)
    assert all(each.query_class != each.wrong_class for each in found)


def test_confusions_count_both_ways(evaluation: Evaluation) -> None:
    found = find_failures(evaluation, "none", 0)
    pairs = confusions(found)
    counts = [count for _, count in pairs]
    assert counts == sorted(counts, reverse=True)
    assert sum(counts) == len(found)
    classes = [{each.query_class, each.wrong_class} for each, _ in pairs]
    assert all(a != b for a, b in itertools.combinations(classes, 2))


def test_what_is_not_to_be_found_is_no_failure() -> None:
    labels = np.array([0, 0, 1, 1])
    own = images(labels)
    groups = np.array([5, 6, 5, 7], np.int32)
    own = Images(own.paths, own.labels, own.class_names, groups)
    x = unit(np.array([[1, 0, 0], [1, 0.5, 0], [1, 0.1, 0], [0.2, 0, 1.0]]))
    evaluation = evaluated(Search("test", own, own), x, x)
    assert next(each.query for each in find_failures(evaluation, "none", 0)) in "02"
    found = find_failures(evaluation, "same_image", 0)
    # Images 0 and 2 are of one photograph.
    assert all({each.query, each.wrong} != {"0", "2"} for each in found)


def test_sizes_are_scored_as_they_would_be_stored(evaluation: Evaluation) -> None:
    lines = score_sizes(evaluation, "none", 0)
    by_form = {(line["kind"], line["dim"]): line for line in lines}
    assert {form: line["bytes"] for form, line in by_form.items()} == {
        ("float32", 16): 64,
        ("float32", 8): 32,
        ("int8", 16): 16,
        ("int8", 8): 8,
        ("binary", 16): 2,
    }
    whole = by_form["float32", 16]
    assert whole["recall@1"] == pytest.approx(evaluation.scores["recall@1"])
    signs = np.sign(evaluation.query)
    distances = (signs[:, None] != signs[None]).sum(axis=2).astype(float)
    np.fill_diagonal(distances, np.inf)
    labels = evaluation.search.query.labels
    scores = by_form["binary", 16]
    # Ties are broken in any way: between all of them wrong and all of them right.
    least = distances.min(axis=1, keepdims=True)
    tied = distances == least
    right = labels[:, None] == labels[None]
    low = np.mean([(right[i][tied[i]]).all() for i in range(len(labels))])
    high = np.mean([(right[i][tied[i]]).any() for i in range(len(labels))])
    assert low <= scores["recall@1"] <= high
    assert abs(by_form["int8", 16]["map@r"] - whole["map@r"]) < 0.02


def test_drift_is_told_of_two_sets_that_are_large_enough() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(600) % 30
    gallery, query = images(labels, "g"), images(labels, "q")
    x, y = unit(rng.normal(size=(2, 600, DIM)))
    found = drift_of(evaluated(Search("test", query, gallery), x + 0.2, y))
    assert found is not None
    assert found.z > 5
    assert drift_of(evaluated(Search("test", gallery, gallery), y, y)) is None


def test_typical_images_lie_nearest_to_the_middle_of_their_slice() -> None:
    class Fixed:
        def embeddings(self, paths, on_batch=lambda _: None):
            return np.stack([vectors[int(path)] for path in paths])

    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(40, 8)).astype(np.float32)
    assignment = np.repeat([0, 1, -1], [18, 20, 2]).astype(np.int32)
    vectors[:18, :4] = [1, 0, 0, 0]
    vectors[:18, :4] += np.linspace(0, 1, 18)[:, None] * [0, 1, 0, 0]
    division = Division(assignment, assignment, 2)
    train = images(np.zeros(40, np.int32))
    found = typical_images(division, train, Evaluator(Fixed(), (1,)), 5)
    assert [len(each) for each in found] == [5, 5]
    assert all(assignment[int(path)] == 1 for path in found[1])
    # The middle of a fan of directions.
    assert {int(path) for path in found[0]} <= set(range(4, 14))
