import numpy as np
import pytest

from dce_tf.clustering import divide
from dce_tf.clustering.balance import balance_clusters
from dce_tf.clustering.kmeans import KMeansResult


def lumps(sizes: list[int], seed: int = 0) -> tuple[np.ndarray, KMeansResult]:
    rng = np.random.default_rng(seed)
    assignment = np.repeat(np.arange(len(sizes)), sizes).astype(np.int32)
    centres = 3 * rng.normal(size=(len(sizes), 5))
    points = (centres[assignment] + rng.normal(size=(len(assignment), 5))).astype(
        np.float32
    )
    means = np.stack([points[assignment == c].mean(axis=0) for c in range(len(sizes))])
    return points, KMeansResult(assignment, means, 1.0)


@pytest.mark.parametrize("factor", [1.0, 1.2, 1.5, 3.0])
@pytest.mark.parametrize("sizes", [[90, 5, 5], [40, 30, 20, 10], [97, 1, 1, 1]])
def test_sizes_lie_within_the_factor(sizes: list[int], factor: float) -> None:
    points, result = lumps(sizes)
    balanced = balance_clusters(points, result, factor)
    counts = np.bincount(balanced.assignment, minlength=len(sizes))
    mean = len(points) / len(sizes)
    assert counts.sum() == len(points)
    assert counts.max() < mean * factor + 1
    assert counts.min() > mean / factor - 1


def test_centroids_and_objective_are_those_of_the_new_clusters() -> None:
    points, result = lumps([60, 20, 20])
    balanced = balance_clusters(points, result, 1.3)
    total = 0.0
    for cluster in range(3):
        own = points[balanced.assignment == cluster]
        np.testing.assert_allclose(
            balanced.centroids[cluster], own.mean(axis=0), rtol=1e-4, atol=1e-5
        )
        total += np.sum((own - own.mean(axis=0)) ** 2)
    assert balanced.objective == pytest.approx(total, rel=1e-4)


def test_balanced_clusters_stay_as_they_are() -> None:
    rng = np.random.default_rng(0)
    points = np.repeat(np.eye(3, 5) * 20, 30, axis=0) + rng.normal(size=(90, 5))
    assignment = np.repeat(np.arange(3), 30).astype(np.int32)
    result = KMeansResult(assignment, np.eye(3, 5, dtype=np.float32) * 20, 1.0)
    balanced = balance_clusters(points.astype(np.float32), result, 1.1)
    np.testing.assert_array_equal(balanced.assignment, assignment)


def test_points_that_lose_least_move() -> None:
    # On a line, the far cluster takes those of the crowd that are nearest to it.
    points = np.array([[0.0], [1], [2], [3], [4], [10]], np.float32)
    result = KMeansResult(
        np.array([0, 0, 0, 0, 0, 1], np.int32), np.array([[2.0], [10]], np.float32), 1.0
    )
    balanced = balance_clusters(points, result, 1.0)
    assert balanced.assignment.tolist() == [0, 0, 0, 1, 1, 1]


def test_a_factor_below_one_is_refused() -> None:
    points, result = lumps([5, 5])
    with pytest.raises(ValueError, match="factor of 1 or more"):
        balance_clusters(points, result, 0.9)


def test_a_division_can_be_balanced() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(40), 5).astype(np.int32)
    features = rng.normal(size=(40, 8))[labels] ** 3 + 0.1 * rng.normal(size=(200, 8))
    plain, balanced = (
        divide(features.astype(np.float32), labels, 4, balance=factor)
        for factor in (None, 1.1)
    )
    sizes = np.bincount(balanced.membership, minlength=4)
    assert sizes.max() <= 55
    assert sizes.min() >= 45
    assert np.bincount(plain.membership, minlength=4).max() > 55
