import numpy as np
import pytest

from dce_tf.retrieval.open_set import (
    UNKNOWN,
    NearestClasses,
    answers,
    choose_threshold,
    find_classes,
    score_answers,
)


def found_for(seed: int, same: bool) -> tuple[NearestClasses, np.ndarray, list]:
    """A search on a grid, where ties abound, and what a plain loop finds in it."""
    rng = np.random.default_rng(seed)
    gallery = rng.integers(0, 4, (30, 2)).astype(np.float32)
    labels = rng.integers(0, 7, 30).astype(np.int32)
    query = gallery if same else rng.integers(0, 4, (12, 2)).astype(np.float32)
    found = find_classes(query, gallery, labels, 5, exclude_self=same)
    expected = []
    for row, vector in enumerate(query):
        nearest: dict[int, float] = {}
        for column in range(30):
            if not (same and row == column):
                distance = float(np.sum((vector - gallery[column]) ** 2))
                label = int(labels[column])
                nearest[label] = min(nearest.get(label, np.inf), distance)
        expected.append(nearest)
    return found, labels, expected


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("same", [False, True])
def test_nearest_classes_are_those_of_a_plain_loop(seed: int, same: bool) -> None:
    found, _, expected = found_for(seed, same)
    for classes, distances, nearest in zip(*found, expected, strict=True):
        ordered = sorted(nearest.values())[:5]
        np.testing.assert_allclose(distances[: len(ordered)], ordered, atol=1e-5)
        assert len(set(classes)) == len(classes)
        for label, distance in zip(classes, distances, strict=True):
            assert distance == pytest.approx(nearest[label], abs=1e-5)


def test_fewer_classes_than_asked_for_leave_places_empty() -> None:
    gallery = np.array([[0.0], [1.0], [5.0]], np.float32)
    labels = np.array([4, 4, 9], np.int32)
    found = find_classes(gallery, gallery, labels, 3, exclude_self=True)
    assert found.classes.tolist() == [[4, 9, -1], [4, 9, -1], [4, -1, -1]]
    assert found.distances[2].tolist() == [16, np.inf, np.inf]


FOUND = NearestClasses(
    np.array([[1, 2, 3], [2, 1, 3], [3, 1, -1]], np.int32),
    np.array([[0.1, 0.4, 0.9], [0.2, 0.3, 0.8], [0.5, 0.7, np.inf]], np.float32),
)


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        (0.0, [[-1, 1, 2], [-1, 2, 1], [-1, 3, 1]]),
        (0.35, [[1, -1, 2], [2, 1, -1], [-1, 3, 1]]),
        (2.0, [[1, 2, 3], [2, 1, 3], [3, 1, -1]]),
    ],
)
def test_none_of_these_stands_before_what_is_too_far(threshold, expected) -> None:
    assert answers(FOUND, threshold).tolist() == expected


def test_score_is_one_over_the_place() -> None:
    labels = np.array([2, 3, UNKNOWN], np.int32)
    assert score_answers(FOUND, labels, 0.35).tolist() == [1 / 3, 0, 1]
    assert score_answers(FOUND, labels, 2.0).tolist() == [1 / 2, 1 / 3, 1 / 3]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.05, 0.4, 0.9])
def test_no_threshold_scores_higher_than_the_chosen_one(seed, share) -> None:
    found, labels, _ = found_for(seed, same=True)
    labels = np.where(np.random.default_rng(seed).random(30) < 0.3, UNKNOWN, labels)
    unknown = labels == UNKNOWN

    def score(threshold: float) -> float:
        values = score_answers(found, labels, threshold)
        return share * values[unknown].mean() + (1 - share) * values[~unknown].mean()

    chosen = score(choose_threshold(found, labels, share))
    tried = np.concatenate([[-1], np.unique(found.distances[found.classes >= 0])])
    assert chosen == pytest.approx(max(score(t + 1e-6) for t in tried))


def test_threshold_needs_both_kinds() -> None:
    with pytest.raises(ValueError, match="received 3 and 0"):
        choose_threshold(FOUND, np.array([1, 2, 3], np.int32), 0.5)


def test_empty_gallery_is_refused() -> None:
    none = np.zeros((0, 2), np.float32)
    with pytest.raises(ValueError, match="gallery is empty"):
        find_classes(np.ones((1, 2), np.float32), none, np.zeros(0, np.int32), 5)
