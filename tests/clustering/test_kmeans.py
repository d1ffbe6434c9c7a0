import numpy as np
import pytest
from sklearn.cluster import KMeans

from dce_tf.clustering import faiss_backend, fit_kmeans


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


def test_all_points_are_used() -> None:
    # FAISS alone would draw 256 points per cluster.
    points = np.random.default_rng(0).normal(size=(3000, 4)).astype(np.float32)
    result = fit_kmeans(points, 2, tolerance=0)
    means = [points[result.assignment == cluster].mean(axis=0) for cluster in (0, 1)]
    np.testing.assert_allclose(result.centroids, means, atol=1e-5)


def test_standing_still_ends_it_early(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    make = faiss_backend.kmeans
    monkeypatch.setattr(
        faiss_backend, "kmeans", lambda *a, **k: made.append(make(*a, **k)) or made[-1]
    )
    points = np.random.default_rng(0).normal(size=(2000, 4)).astype(np.float32)
    for tolerance in (1e-2, 1e-4, 0):
        fit_kmeans(points, 20, tolerance=tolerance)
    coarse, fine, full = (kmeans.obj for kmeans in made)
    assert len(coarse) < len(fine) < len(full) <= 100
    gains = 1 - fine[1:] / fine[:-1]
    assert gains[-1] < 1e-4
    assert np.all(gains[:-1] >= 1e-4)


def test_initial_centroids_decide_the_ids() -> None:
    points, labels = blobs()
    means = np.stack([points[labels == group].mean(axis=0) for group in range(5)])
    order = [3, 0, 4, 1, 2]
    result = fit_kmeans(points, 5, initial_centroids=means[order])
    np.testing.assert_array_equal(np.asarray(order)[result.assignment], labels)


def test_restarts_after_initial_centroids_can_only_be_better() -> None:
    points = np.random.default_rng(0).normal(size=(300, 6)).astype(np.float32)
    given = {"initial_centroids": points[:12], "seed": 5}
    single = fit_kmeans(points, 12, **given)
    several = fit_kmeans(points, 12, num_restarts=10, **given)
    assert several.objective < single.objective


def test_initial_centroids_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(5, 8\).*received shape \(4, 8\)"):
        fit_kmeans(blobs()[0], 5, initial_centroids=np.zeros((4, 8), np.float32))


def test_one_cluster_is_the_mean() -> None:
    points, _ = blobs()
    result = fit_kmeans(points, 1)
    mean = points.mean(axis=0, keepdims=True)
    np.testing.assert_allclose(result.centroids, mean, rtol=1e-5)
    assert result.objective == pytest.approx(((points - mean) ** 2).sum(), rel=1e-5)
    assert not result.assignment.any()


def test_fewer_distinct_points_than_clusters_are_survived() -> None:
    points = np.repeat(np.eye(3, dtype=np.float32), 50, axis=0)
    result = fit_kmeans(points, 6)
    assert np.isfinite(result.centroids).all()
    assert result.objective == pytest.approx(0, abs=1e-2)
    assert set(result.assignment) <= set(range(6))


@pytest.mark.parametrize("name", ["num_clusters", "num_iterations", "num_restarts"])
def test_counts_below_one_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be 1 or more; received 0"):
        fit_kmeans(blobs()[0], **{"num_clusters": 2, name: 0})


def test_centroids_of_a_sample_take_all_points(monkeypatch: pytest.MonkeyPatch) -> None:
    points, _ = blobs(each=400)
    trained = []
    original = faiss_backend.kmeans

    def watched(*args, **kwargs):
        kmeans = original(*args, **kwargs)
        train = kmeans.train
        kmeans.train = lambda x, **given: trained.append(x) or train(x, **given)
        return kmeans

    monkeypatch.setattr(faiss_backend, "kmeans", watched)
    result = fit_kmeans(points, 5, num_sampled=100, num_restarts=4)
    assert [len(x) for x in trained] == [100] * 4
    assert len(np.unique(trained[0], axis=0)) == 100
    assert len(result.assignment) == len(points)
    gaps = ((points[:, None] - result.centroids) ** 2).sum(axis=2)
    assert result.objective == pytest.approx(gaps.min(axis=1).sum(), rel=1e-4)
    everything = fit_kmeans(points, 5, num_restarts=4)
    assert result.objective < 1.1 * everything.objective
    # More than there are, or fewer than clusters, are all or as many as those.
    fit_kmeans(points, 5, num_sampled=10**6)
    fit_kmeans(points, 5, num_sampled=1)
    assert [len(x) for x in trained[-2:]] == [2000, 5]


def test_failing_gpu_gives_way_to_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    points, _ = blobs()
    expected = fit_kmeans(points, 5)
    original = faiss_backend.kmeans

    def failing(*args, backend: str, **kwargs):
        if backend != "faiss":
            raise RuntimeError("Error in StandardGpuResources: out of memory")
        return original(*args, backend=backend, **kwargs)

    monkeypatch.setattr(faiss_backend, "kmeans", failing)
    monkeypatch.setattr(faiss_backend, "use_gpu", lambda backend: backend != "faiss")
    with pytest.warns(UserWarning, match="out of memory.*goes on on the CPU"):
        result = fit_kmeans(points, 5)
    np.testing.assert_array_equal(result.assignment, expected.assignment)
    monkeypatch.setattr(faiss_backend, "use_gpu", lambda _: False)
    with pytest.raises(RuntimeError, match="out of memory"):
        fit_kmeans(points, 5)
