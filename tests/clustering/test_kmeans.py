import numpy as np
import pytest
from sklearn.cluster import KMeans

from dce_tf.clustering import fit_kmeans


def blobs(
    seed: int = 0, groups: int = 5, each: int = 40
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(groups), each)
    centres = rng.normal(size=(groups, 8)) * 5
    return (centres[labels] + rng.normal(size=(len(labels), 8))).astype(
        np.float32
    ), labels


def test_every_point_goes_to_its_nearest_centroid() -> None:
    points, _ = blobs()
    result = fit_kmeans(points, 5)
    gaps = ((points[:, None] - result.centroids) ** 2).sum(axis=2)
    np.testing.assert_array_equal(result.assignment, gaps.argmin(axis=1))
    assert result.objective == pytest.approx(gaps.min(axis=1).sum(), rel=1e-4)


def test_is_as_good_as_scikit_learn() -> None:
    points, _ = blobs(groups=8)
    ours = fit_kmeans(points, 8, num_restarts=8)
    theirs = KMeans(8, n_init=8, random_state=0).fit(points)
    assert ours.objective <= theirs.inertia_ * 1.01


def test_all_restarts_are_run_and_the_best_is_kept() -> None:
    # METHOD: the reference was given 5 restarts and ran 1.
    points = np.random.default_rng(0).normal(size=(300, 6)).astype(np.float32)
    single = [fit_kmeans(points, 12, seed=seed).objective for seed in range(20)]
    several = [
        fit_kmeans(points, 12, seed=s, num_restarts=10).objective for s in range(20)
    ]
    assert np.mean(several) < np.quantile(single, 0.25)


def test_iterations_are_bounded_by_what_is_set() -> None:
    points = np.random.default_rng(0).normal(size=(2000, 4)).astype(np.float32)
    short = fit_kmeans(points, 20, num_iterations=1).objective
    long = fit_kmeans(points, 20, num_iterations=60, tolerance=0).objective
    assert long < short * 0.99


def test_same_seed_gives_the_same_clusters() -> None:
    points = np.random.default_rng(0).normal(size=(500, 4)).astype(np.float32)
    first, again, other = (fit_kmeans(points, 7, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.assignment, again.assignment)
    assert np.any(first.assignment != other.assignment)


def test_fewer_points_than_clusters_are_refused() -> None:
    with pytest.raises(ValueError, match="3 images cannot be cut into 4 clusters"):
        fit_kmeans(np.eye(3, dtype=np.float32), 4)


def test_features_that_are_not_finite_are_refused() -> None:
    points = np.ones((9, 2), np.float32)
    points[[2, 5], 0] = np.nan
    with pytest.raises(ValueError, match="features of 2 of 9 images are not finite"):
        fit_kmeans(points, 2)


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    fit_kmeans(blobs(each=2)[0], 5)
    assert "".join(capfd.readouterr()) == ""
