import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from dce_tf.clustering import divide, fit_kmeans, points, split
from dce_tf.clustering.points import Points, cluster_means, unit_length

NUMBER = 10_000


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(points, "_MOST_BYTES", 1)


def mapped(array: np.ndarray, folder: Path) -> np.memmap:
    path = folder / "features.npy"
    np.save(path, array)
    found = np.load(path, mmap_mode="r")
    assert isinstance(found, np.memmap)
    return found


@pytest.fixture
def features() -> np.ndarray:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(40, 8))[np.arange(NUMBER) % 40]
    return (centres + rng.normal(size=centres.shape)).astype(np.float32)


LABELS = (np.arange(NUMBER) % 40).astype(np.int32)
SOME = np.arange(NUMBER) % 7 > 0


def assert_same(ours: object, theirs: object) -> None:
    assert vars(ours).keys() == vars(theirs).keys()
    for name, value in vars(ours).items():
        if "seconds" not in name:
            np.testing.assert_array_equal(value, vars(theirs)[name], err_msg=name)


def test_array_in_memory_is_one_block(features: np.ndarray, small_blocks) -> None:
    given = Points(features)
    ((rows, values),) = given.blocks()
    assert (rows, given.shape) == (slice(0, NUMBER), (NUMBER, 8))
    assert np.shares_memory(values, features)
    assert not given.is_mapped


def test_mapped_array_comes_in_blocks(
    features: np.ndarray, tmp_path: Path, small_blocks
) -> None:
    chosen = np.flatnonzero(SOME)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    given = Points(mapped(features, tmp_path), chosen, unit_length=True)
    assert given.is_mapped
    assert given.shape == (len(chosen), 8)
    blocks = list(given.blocks())
    assert [rows.start for rows, _ in blocks] == [0, 4096, 8192]
    for rows, values in blocks:
        assert type(values) is np.ndarray
        np.testing.assert_allclose(values, unit[chosen[rows]], rtol=1e-6)
    np.testing.assert_allclose(given.all(), unit[chosen], rtol=1e-6)
    few = np.array([3, 5, len(chosen) - 1])
    np.testing.assert_allclose(given.take(few), unit[chosen[few]], rtol=1e-6)


def test_blocks_are_as_large_as_is_allowed(tmp_path: Path) -> None:
    (first, *_) = Points(
        mapped(np.zeros((20_000, 2048), np.float32), tmp_path)
    ).blocks()
    assert first[1].shape == (8192, 2048)


@pytest.mark.parametrize(
    "options", [{"tries": 2}, {"num_sampled": 3000, "num_restarts": 2}]
)
def test_mapped_features_are_divided_alike(
    features: np.ndarray, tmp_path: Path, small_blocks, options: dict
) -> None:
    before = divide(features[:, ::-1], LABELS, 4)
    given = {"seed": 1, "previous": before, **options}
    ours = divide(mapped(features, tmp_path), LABELS, 4, **given)
    theirs = divide(features, LABELS, 4, **given)
    assert_same(ours, theirs)


@pytest.mark.parametrize("options", [{"adapt_centroids": True}, {"balance": 1.1}])
def test_means_of_mapped_features_are_the_same_but_for_rounding(
    features: np.ndarray, tmp_path: Path, small_blocks, options: dict
) -> None:
    # Means of blocks are added up, where those of memory are one sum.
    given = {"previous": divide(features, LABELS, 4), **options}
    ours = divide(mapped(features, tmp_path), LABELS, 4, **given)
    theirs = divide(features, LABELS, 4, **given)
    np.testing.assert_array_equal(ours.membership, theirs.membership)
    np.testing.assert_allclose(ours.centroids, theirs.centroids, atol=1e-5)


def test_mapped_features_are_split_alike(
    features: np.ndarray, tmp_path: Path, small_blocks
) -> None:
    parent = divide(features, LABELS, 2)
    ours = split(mapped(features, tmp_path), LABELS, parent, num_sampled=1000)
    assert_same(ours, split(features, LABELS, parent, num_sampled=1000))


def test_one_cluster_of_a_mapped_array_is_its_mean(
    features: np.ndarray, tmp_path: Path, small_blocks
) -> None:
    ours = fit_kmeans(mapped(features, tmp_path), 1)
    theirs = fit_kmeans(features, 1)
    np.testing.assert_allclose(ours.centroids, theirs.centroids, rtol=1e-5)
    assert ours.objective == pytest.approx(theirs.objective)


def test_all_of_a_mapped_array_is_checked(
    features: np.ndarray, tmp_path: Path, small_blocks
) -> None:
    features[[5, 4100, NUMBER - 1], 3] = np.nan, np.inf, np.nan
    with pytest.raises(ValueError, match="features of 3 of 10000 images are not fini"):
        divide(mapped(features, tmp_path), LABELS, 2, num_sampled=100)


def test_means_are_those_of_each_cluster(
    features: np.ndarray, tmp_path: Path, small_blocks
) -> None:
    membership = (np.arange(NUMBER) % 4 - 1).astype(np.int32)
    expected = [features[membership == c].mean(axis=0) for c in range(3)]
    for array in (features, mapped(features, tmp_path)):
        found = cluster_means(Points(array), membership, 4)
        np.testing.assert_allclose(
            found, [*expected, np.zeros(8)], rtol=1e-4, atol=1e-6
        )


def test_mapped_features_are_never_in_memory_as_a_whole(
    tmp_path: Path, small_blocks
) -> None:
    path = tmp_path / "features.npy"
    shape = (40_000, 256)
    drawn = np.lib.format.open_memmap(path, "w+", np.float32, shape)
    drawn[:] = np.random.default_rng(0).random(shape, np.float32)
    drawn.flush()
    labels = (np.arange(len(drawn)) % 100).astype(np.int32)
    peaks = []
    for array in (np.load(path, mmap_mode="r"), np.load(path)):
        tracemalloc.start()
        divide(array, labels, 4, num_sampled=2000, num_iterations=5)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[0] < 0.5 * drawn.nbytes < peaks[1]


def test_rows_of_unit_length_are_not_copied(features: np.ndarray) -> None:
    directions = unit_length(features)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1, rtol=1e-6)
    assert unit_length(directions) is directions
    directions[3] *= 1.001
    assert unit_length(directions) is not directions
