import numpy as np
import pytest

from dce_tf.retrieval import score_grouping


def clear_clusters() -> tuple[np.ndarray, np.ndarray]:
    labels = np.repeat(np.arange(4), 10).astype(np.int32)
    points = np.eye(4, dtype=np.float32)[labels]
    noise = np.random.default_rng(0).normal(size=points.shape)
    return points + 0.01 * noise.astype(np.float32), labels


def test_scores_of_clear_clusters_are_one() -> None:
    runs = score_grouping(*clear_clusters(), num_runs=5)
    assert set(runs) == {"nmi", "ami", "f1"}
    for values in runs.values():
        assert values.shape == (5,)
        assert values.max() == pytest.approx(1)


def test_runs_start_from_places_of_their_own_and_repeat_with_the_seed() -> None:
    points, _ = clear_clusters()
    labels = np.random.default_rng(1).integers(4, size=40).astype(np.int32)
    points = np.random.default_rng(2).normal(size=points.shape).astype(np.float32)
    first = score_grouping(points, labels, num_runs=6)["nmi"]
    assert len(set(first)) > 1
    again = score_grouping(points, labels, num_runs=6)["nmi"]
    np.testing.assert_array_equal(first, again)
