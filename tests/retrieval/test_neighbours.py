import numpy as np
import pytest

from dce_tf.retrieval import neighbours, search_blocks


def points(number: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(number, 5)).astype(np.float32)


def gather(blocks, number: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    found, distances = np.full((number, k), -9), np.full((number, k), np.nan)
    for rows, ids, squared in blocks:
        found[rows], distances[rows] = ids, squared
    return found, distances


@pytest.mark.parametrize("exclude_self", [False, True])
def test_neighbours_equal_a_plain_loop(exclude_self: bool) -> None:
    x = points(70)
    blocks = search_blocks(x, x, 6, exclude_self=exclude_self, block_size=16)
    found, distances = gather(blocks, 70, 6)
    for i, vector in enumerate(x):
        others = [j for j in range(70) if not (exclude_self and i == j)]
        others.sort(key=lambda j: float(np.sum((vector - x[j]) ** 2)))
        assert found[i].tolist() == others[:6]
        squared = [np.sum((vector - x[j]) ** 2) for j in others[:6]]
        np.testing.assert_allclose(distances[i], squared, atol=1e-4)


def test_hand_worked_distances() -> None:
    x = np.array([[0, 0], [3, 4], [0, 1]], np.float32)
    found, distances = gather(search_blocks(x, x, 2, exclude_self=True), 3, 2)
    assert found.tolist() == [[2, 1], [2, 0], [0, 1]]
    assert distances.tolist() == [[1, 25], [18, 25], [1, 18]]


def test_duplicates_never_let_an_image_find_itself() -> None:
    x = np.zeros((12, 3), np.float32)
    for rows, found, _ in search_blocks(x, x, 4, exclude_self=True):
        assert found.shape == (12, 4)
        assert not np.any(found == rows[:, None])


def test_blocks_cover_every_query_once_and_stay_small() -> None:
    # METHOD: the reference builds a queries × gallery matrix.
    x = points(100)
    k = np.arange(100) % 7 + 1
    seen = []
    for rows, found, distances in search_blocks(
        x, x, k, exclude_self=False, block_size=9
    ):
        assert len(rows) <= 9
        assert found.shape == distances.shape == (len(rows), k[rows].max())
        seen.extend(rows)
    assert sorted(seen) == list(range(100))


def test_k_beyond_the_gallery_is_clipped() -> None:
    x = points(9)
    (_, found, _), *others = search_blocks(x, x, 100, exclude_self=True)
    assert others == []
    assert sorted(found[0]) == list(range(1, 9))


def test_wide_searches_take_smaller_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    # Two classes make R half the gallery, and a block of queries half of N × N.
    monkeypatch.setattr(neighbours, "BLOCK_NEIGHBOURS", 50)
    x = points(60)
    k = np.repeat([2, 30, 60], 20)
    rows = [block for block, _, _ in search_blocks(x, x, k, exclude_self=False)]
    assert [len(block) for block in rows[:2]] == [20, 1]
    assert all(len(block) * k[block].max() <= 60 for block in rows)
    assert sorted(np.concatenate(rows)) == list(range(60))


def test_embeddings_of_any_layout_are_taken() -> None:
    x = points(20)
    expected, _ = gather(search_blocks(x, x, 3, exclude_self=True), 20, 3)
    other = np.asfortranarray(x.astype(np.float64))
    found, _ = gather(search_blocks(other, other, 3, exclude_self=True), 20, 3)
    np.testing.assert_array_equal(found, expected)


def test_embeddings_that_are_not_finite_are_refused() -> None:
    x, broken = points(5), points(5)
    broken[[1, 2]] = np.inf
    with pytest.raises(ValueError, match="2 of 5 gallery embeddings are not finite"):
        next(search_blocks(x, broken, 1, exclude_self=False))
