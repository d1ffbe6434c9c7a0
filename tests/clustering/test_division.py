import dataclasses
import itertools

import numpy as np
import pytest

from dce_tf.clustering import Division, divide, split, trainable, whole_division
from dce_tf.clustering import division as division_module
from dce_tf.clustering.classes import class_means
from dce_tf.clustering.trainable import merge_untrainable

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


def merged_by_loop(
    membership: np.ndarray, labels: np.ndarray, centroids: np.ndarray
) -> list[int]:
    result = membership.tolist()
    while len(set(result)) > 1:
        for cluster in sorted(set(result)):
            classes = [y for y, c in zip(labels, result, strict=True) if c == cluster]
            if sum(classes.count(y) > 1 for y in set(classes)) < 2:
                break
        else:
            return result
        others = sorted(set(result) - {cluster})
        gaps = [float(((centroids[o] - centroids[cluster]) ** 2).sum()) for o in others]
        nearest = others[int(np.argmin(gaps))]
        result = [nearest if c == cluster else c for c in result]
    return result


@pytest.mark.parametrize("seed", range(20))
def test_merging_equals_a_plain_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    membership = rng.choice([0, 1, 2, 4, 5, 6, 7], 60).astype(np.int32)
    labels = rng.integers(25, size=60).astype(np.int32)
    centroids = rng.normal(size=(8, 3)).astype(np.float32)
    merged = merge_untrainable(membership, labels, centroids)
    assert merged.tolist() == merged_by_loop(membership, labels, centroids)
    assert 1 <= len(set(merged)) < 7


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


def test_ids_centroids_and_images_stay_together() -> None:
    features, labels = clustered()
    first = divide(features, labels, 4, seed=0)
    for seed in range(1, 6):
        second = divide(features, labels, 4, seed=seed, previous=first)
        unit = features / np.linalg.norm(features, axis=1, keepdims=True)
        gaps = ((unit[:, None] - second.centroids) ** 2).sum(axis=2)
        np.testing.assert_array_equal(second.membership, gaps.argmin(axis=1))
        assert second.objective == pytest.approx(gaps.min(axis=1).sum(), rel=1e-4)


def test_one_cluster_is_the_whole_division() -> None:
    features, labels = clustered()
    division = divide(features, labels, 1)
    np.testing.assert_array_equal(
        division.assignment, whole_division(labels).assignment
    )


@pytest.mark.parametrize("labels", [[0, 0, 1, 2], [0, 0, 0, 0], [0, 1, 2, 3]])
def test_less_than_two_classes_of_two_images_are_refused(labels: list[int]) -> None:
    given = np.array(labels, np.int32)
    with pytest.raises(ValueError, match="of the classes of 4 images have two"):
        divide(np.eye(4, dtype=np.float32), given, 2)
    with pytest.raises(ValueError, match="training needs two such classes"):
        whole_division(given)


def test_more_clusters_than_images_are_refused() -> None:
    with pytest.raises(ValueError, match="9 images cannot be cut into 10 clusters"):
        divide(FEATURES, LABELS, 10)


def test_features_must_fit_the_labels() -> None:
    with pytest.raises(ValueError, match="8 features, but 9 labels"):
        divide(FEATURES[:8], LABELS, 2)


def test_infinite_features_are_counted_not_warned_about() -> None:
    features = FEATURES.copy()
    features[[1, 4], 0] = np.inf
    with pytest.raises(ValueError, match="features of 2 of 9 images are not finite"):
        divide(features, LABELS, 2)


def hierarchical(steps: int = 3) -> list[Division]:
    features, labels = clustered()
    divisions = [whole_division(labels)]
    for step in range(steps):
        divisions.append(split(features, labels, divisions[-1], seed=step))
    return divisions


def test_split_cuts_each_cluster_into_two_of_its_own() -> None:
    divisions = hierarchical()
    assert [division.num_clusters for division in divisions] == [1, 2, 4, 8]
    for parent, child in itertools.pairwise(divisions):
        np.testing.assert_array_equal(child.membership // 2, parent.membership)
    assert np.all(np.bincount(divisions[2].membership, minlength=4) > 0)


def test_split_leaves_no_image_alone_in_its_class() -> None:
    _, labels = clustered()
    for division in hierarchical()[1:]:
        expected = without_lone_by_loop(division.membership, labels)
        np.testing.assert_array_equal(division.assignment, expected)


def test_split_joins_halves_that_cannot_be_trained_on() -> None:
    # One class of two images far from three of one: 2-means cuts them apart.
    labels = np.array([0, 0, 1, 1, 2, 2, 3, 3], np.int32)
    features = np.repeat(np.eye(2, dtype=np.float32), [6, 2], axis=0)
    features[:, 1] += np.arange(8) * 1e-3
    parent = whole_division(labels)
    child = split(features, labels, parent)
    assert len(set(child.membership)) == 1


def test_flat_clustering_follows_the_hierarchy_and_is_matched() -> None:
    features, labels = clustered()
    last = hierarchical(2)[-1]
    division = divide(features, labels, 4, previous=last)
    assert division.kept is not None
    assert division.kept > 0.4


def test_centroids_start_from_the_old_clusters(monkeypatch) -> None:
    features, labels = clustered()
    first = divide(features, labels, 4)
    starts = []
    real = trainable.fit_kmeans

    def watching(points, *args, initial_centroids=None, **kwargs):
        starts.append(initial_centroids)
        return real(points, *args, initial_centroids=initial_centroids, **kwargs)

    monkeypatch.setattr(trainable, "fit_kmeans", watching)
    later = divide(features, labels, 4, previous=first, adapt_centroids=True, seed=9)
    points = features / np.linalg.norm(features, axis=1, keepdims=True)
    means = [points[first.membership == c].mean(axis=0) for c in range(4)]
    np.testing.assert_allclose(starts[0], means, atol=1e-5)
    assert later.kept == 1, "it stands where it stood"
    divide(features, labels, 4, previous=first, seed=9)
    assert starts[1] is None


def test_other_starts_are_tried_until_every_cluster_has_its_classes(
    monkeypatch,
) -> None:
    features, labels = clustered()
    seeds = []
    real = trainable.fit_kmeans

    def unlucky(points, num_clusters, *, seed, **kwargs):
        seeds.append(seed)
        result = real(points, num_clusters, seed=seed, **kwargs)
        if len(seeds) < 3:
            assignment = np.zeros_like(result.assignment)
            assignment[:2] = 1  # One class only.
            return dataclasses.replace(result, assignment=assignment)
        return result

    monkeypatch.setattr(trainable, "fit_kmeans", unlucky)
    division = divide(features, labels, 2, tries=5, seed=7)
    assert seeds[0] == 7
    assert len(set(seeds)) == 3
    assert np.bincount(division.membership).min() > 2
    seeds.clear()
    merged = divide(features, labels, 2, tries=2)
    assert len(set(merged.membership)) == 1


@pytest.mark.parametrize("least", [2, 6, 15])
def test_every_cluster_has_the_classes_asked_for(least: int) -> None:
    features, labels = clustered()
    division = divide(features, labels, 6, min_classes=least)
    for cluster in set(division.membership):
        counts = np.bincount(labels[division.membership == cluster])
        assert np.count_nonzero(counts > 1) >= least


def test_whole_division_remembers_the_clusters_for_samplers() -> None:
    features, labels = clustered()
    last = divide(features, labels, 4)
    whole = whole_division(labels, last=last)
    np.testing.assert_array_equal(whole.groups, last.membership)
    assert whole.num_clusters == 1


@pytest.mark.parametrize("by", ["classes", "random"])
def test_divided_classes_lose_no_positive_pair(by: str) -> None:
    features, labels = clustered()
    labels = np.random.default_rng(1).permutation(labels)
    first = divide(features, labels, 4, by=by)
    second = divide(features + 0.01, labels, 4, by=by, previous=first)
    for division in (first, second):
        assert division.num_lone == 0
        for label in range(40):
            assert len(set(division.membership[labels == label])) == 1
        assert len(set(division.membership)) == 4
    assert second.kept > 0.9


def test_classes_are_clustered_by_their_means() -> None:
    features, labels = clustered()
    division = divide(features, labels, 4, by="classes", num_restarts=3)
    means = class_means(features, labels)
    alike = divide(means, np.arange(40).astype(np.int32) % 2, 4, num_restarts=3)
    agreed = division_module.normalized_mutual_information(
        alike.membership[labels], division.membership
    )
    assert agreed == pytest.approx(1)


def test_class_means_equal_a_plain_loop() -> None:
    features, labels = clustered(5, 7)
    labels = labels * 2  # Every other class has no image.
    means = class_means(features, labels)
    for label in range(9):
        own = features[labels == label]
        own = own / np.linalg.norm(own, axis=1, keepdims=True)
        expected = own.mean(axis=0) if len(own) else np.zeros(16)
        expected = expected / max(np.linalg.norm(expected), 1e-12)
        np.testing.assert_allclose(means[label], expected, atol=1e-6)


def test_classes_are_cut_in_two() -> None:
    features, labels = clustered()
    first = divide(features, labels, 2, by="classes")
    cut = split(features, labels, first, by="classes")
    assert cut.num_lone == 0
    np.testing.assert_array_equal(cut.membership // 2, first.membership)


def test_unknown_units_are_refused() -> None:
    features, labels = clustered()
    with pytest.raises(ValueError, match='"images" or "classes"'):
        divide(features, labels, 2, by="pixels")
