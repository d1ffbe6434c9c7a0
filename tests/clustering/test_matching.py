import itertools

import numpy as np
import pytest

from dce_tf.clustering import match_clusters


def cost_of(old: np.ndarray, new: np.ndarray, ids: tuple[int, ...]) -> int:
    total = 0
    for cluster, partner in enumerate(ids):
        ours = set(np.flatnonzero(new == cluster))
        theirs = set(np.flatnonzero(old == partner))
        total += len(ours ^ theirs)
    return total


def test_finds_the_cheapest_of_all_permutations() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        old, new = rng.integers(-1, 4, (2, 30))
        matching = match_clusters(old, new, 4)
        costs = [cost_of(old, new, p) for p in itertools.permutations(range(4))]
        assert matching.cost == min(costs) == cost_of(old, new, tuple(matching.new_ids))


def test_relabelled_clusters_get_their_old_ids_back() -> None:
    # METHOD: the reference applies the inverse permutation and keeps 22 % at K = 8.
    rng = np.random.default_rng(1)
    for _ in range(10):
        old = rng.integers(8, size=400)
        new = rng.permutation(8)[old]
        matching = match_clusters(old, new, 8)
        np.testing.assert_array_equal(matching.new_ids[new], old)
        assert matching.kept == 1
        assert matching.cost == 0


def test_hand_worked_cycle() -> None:
    # A cycle of three: its inverse is another permutation.
    old = np.array([0, 0, 1, 1, 2, 2])
    new = np.array([1, 1, 2, 2, 0, 2])
    matching = match_clusters(old, new, 3)
    np.testing.assert_array_equal(matching.new_ids, [2, 0, 1])
    assert matching.kept == pytest.approx(5 / 6)
    assert matching.cost == 2


def test_unassigned_images_do_not_count_as_kept() -> None:
    old = np.array([0, 0, 1, 1, -1])
    new = np.array([0, -1, 1, 1, 0])
    assert match_clusters(old, new, 2).kept == 1


def test_clusterings_of_other_images_are_refused() -> None:
    with pytest.raises(ValueError, match="of 4 images, the new ones of 3"):
        match_clusters(np.zeros(4, np.int32), np.zeros(3, np.int32), 1)


def test_clusters_beyond_the_number_given_are_refused() -> None:
    old, new = np.array([0, 1, 3]), np.array([0, 1, 2])
    with pytest.raises(ValueError, match="Clusters 0 to 3 cannot be matched as 3"):
        match_clusters(old, new, 3)
