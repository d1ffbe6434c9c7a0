import numpy as np
import pytest

from dce_tf.clustering import Division, divide, whole_division

# Two directions, two classes in each, and one image far from its class.
FEATURES = np.array(
    [
        [1, 0],
        [1, 0.01],
        [1, 0.02],
        [1, 0.03],
        [0, 1],
        [0.01, 1],
        [0.02, 1],
        [0.03, 1],
        [0.04, 1],
    ],
    np.float32,
)
LABELS = np.array([0, 0, 1, 1, 2, 2, 3, 3, 0], np.int32)


def clustered(num_classes: int = 40, each: int = 6, seed: int = 0) -> tuple:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(num_classes), each).astype(np.int32)
    features = rng.normal(size=(num_classes, 16))[labels]
    return (features + 0.5 * rng.normal(size=features.shape)).astype(np.float32), labels


def without_lone_by_loop(membership: np.ndarray, labels: np.ndarray) -> np.ndarray:
    result = membership.copy()
    for i in range(len(labels)):
        same = (membership == membership[i]) & (labels == labels[i])
        if same.sum() == 1:
            result[i] = -1
    return result


def test_lone_images_are_unassigned() -> None:
    division = divide(FEATURES, LABELS, 2)
    assert division.assignment[8] == -1
    assert division.membership[8] == division.membership[4]
    assert division.num_lone == 1
    np.testing.assert_array_equal(np.sort(division.sizes), [4, 4])


def test_lone_images_equal_a_plain_loop() -> None:
    features, labels = clustered()
    labels = np.random.default_rng(1).permutation(labels)
    division = divide(features, labels, 8)
    expected = without_lone_by_loop(division.membership, labels)
    np.testing.assert_array_equal(division.assignment, expected)
    assert division.num_lone > 0


def test_length_of_the_features_does_not_matter() -> None:
    features, labels = clustered()
    scale = np.random.default_rng(0).uniform(0.1, 100, (len(features), 1))
    scaled = (features * scale).astype(np.float32)
    np.testing.assert_array_equal(
        divide(features, labels, 4).membership, divide(scaled, labels, 4).membership
    )


def test_clusters_keep_their_ids_from_division_to_division() -> None:
    labels = np.repeat(np.arange(40), 6).astype(np.int32)
    rng = np.random.default_rng(0)
    features = rng.normal(size=(4, 16))[labels % 4] * 2 + rng.normal(size=(240, 16))
    first = divide(features.astype(np.float32), labels, 4, seed=0, num_restarts=5)
    assert first.kept is first.nmi is first.matching_cost is None
    nudged = features + 0.01 * np.random.default_rng(2).normal(size=features.shape)
    second = divide(
        nudged.astype(np.float32), labels, 4, seed=7, num_restarts=5, previous=first
    )
    assert second.kept > 0.9
    assert second.nmi > 0.8
    assert np.mean(first.membership == second.membership) == pytest.approx(second.kept)


def test_untrainable_cluster_joins_its_neighbour() -> None:
    # METHOD: in the reference a small cluster ends the program. Here the third cluster
    # holds one class only, so it has no negatives.
    features = np.concatenate([FEATURES[:8], [[0.7, -0.7]] * 3]).astype(np.float32)
    labels = np.concatenate([LABELS[:8], [4] * 3]).astype(np.int32)
    division = divide(features, labels, 3, num_restarts=5)
    assert sorted(division.sizes) == [0, 4, 7]
    assert division.membership[8] == division.membership[0], "nearer to (1, 0)"
    assert division.num_clusters == 3


def test_all_untrainable_clusters_become_one() -> None:
    features = np.eye(6, dtype=np.float32)
    division = divide(features, np.array([0, 1, 0, 1, 2, 3], np.int32), 3)
    assert np.count_nonzero(division.sizes) == 1
    assert division.sizes.sum() == 4


def test_zero_features_are_survived() -> None:
    features, labels = clustered()
    features[3] = 0
    assert divide(features, labels, 4).sizes.sum() > 0


def test_whole_division_leaves_out_only_classes_of_one_image() -> None:
    division = whole_division(np.array([0, 0, 1, 2, 2], np.int32))
    np.testing.assert_array_equal(division.assignment, [0, 0, -1, 0, 0])
    assert isinstance(division, Division)
    assert division.num_clusters == 1
