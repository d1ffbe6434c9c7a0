import numpy as np
import pytest
from sklearn.metrics import normalized_mutual_info_score

from dce_tf.retrieval import clustering_nmi, evaluate_retrieval, search_blocks

KS = (1, 2, 4, 8)


def by_loop(query, query_labels, gallery, gallery_labels, leave_one_out: bool) -> dict:
    totals = dict.fromkeys([*(f"recall@{k}" for k in KS), "map@r", "r_precision"], 0.0)
    for i, vector in enumerate(query):
        others = [j for j in range(len(gallery)) if not (leave_one_out and i == j)]
        others.sort(key=lambda j: float(np.sum((vector - gallery[j]) ** 2)))
        right = [gallery_labels[j] == query_labels[i] for j in others]
        for k in KS:
            totals[f"recall@{k}"] += any(right[:k])
        relevant = sum(right)
        if not relevant:
            continue
        hits = 0
        for rank, hit in enumerate(right[:relevant], 1):
            hits += hit
            totals["map@r"] += hit * hits / rank / relevant
        totals["r_precision"] += hits / relevant
    return {key: total / len(query) for key, total in totals.items()}


def random_set(
    seed: int, number: int, classes: int = 7
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=number).astype(np.int32)
    centres = np.random.default_rng(99).normal(size=(classes, 5))
    return (centres[labels] + 1.5 * rng.normal(size=(number, 5))).astype(
        np.float32
    ), labels


@pytest.mark.parametrize("seed", range(5))
def test_leave_one_out_equals_a_plain_loop(seed: int) -> None:
    x, y = random_set(seed, 60)
    got = evaluate_retrieval(x, y, x, y, recall_at=KS, leave_one_out=True)
    assert got == pytest.approx(by_loop(x, y, x, y, True), abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_query_and_gallery_equal_a_plain_loop(seed: int) -> None:
    (q, ql), (g, gl) = random_set(seed, 30, classes=9), random_set(seed + 50, 70)
    assert set(ql) - set(gl), "some queries must have nothing to find"
    got = evaluate_retrieval(q, ql, g, gl, recall_at=KS)
    assert got == pytest.approx(by_loop(q, ql, g, gl, False), abs=1e-6)


def test_hand_worked_number() -> None:
    x = np.array([[0.0], [1.0], [2.1], [3.3]], np.float32)
    y = np.array([0, 1, 0, 0], np.int32)
    got = evaluate_retrieval(x, y, x, y, recall_at=(1, 2), leave_one_out=True)
    # Image 0 finds 1 ✗, 2 ✓, R = 2: precision 1/2, average 1/2 · 1/2.
    # Image 1 has no other of its class: a miss.
    # Image 2 finds 1 ✗, 3 ✓: 1/2 and 1/4.  Image 3 finds 2 ✓, 1 ✗: 1/2 and 1/2.
    assert got["recall@1"] == pytest.approx(1 / 4)
    assert got["recall@2"] == pytest.approx(3 / 4)
    assert got["r_precision"] == pytest.approx(1.5 / 4)
    assert got["map@r"] == pytest.approx((0.25 + 0.25 + 0.5) / 4)


def test_duplicates_never_let_an_image_find_itself() -> None:
    x = np.zeros((12, 3), np.float32)
    for rows, found, _ in search_blocks(x, x, 4, exclude_self=True):
        assert found.shape == (12, 4)
        assert not np.any(found == rows[:, None])


def test_classes_of_very_different_size_share_one_search() -> None:
    x, _ = random_set(0, 80)
    y = np.repeat(np.arange(4), [2, 3, 15, 60]).astype(np.int32)
    got = evaluate_retrieval(x, y, x, y, recall_at=KS, leave_one_out=True)
    assert got == pytest.approx(by_loop(x, y, x, y, True), abs=1e-6)


def test_k_beyond_the_gallery_finds_everything() -> None:
    x, y = random_set(0, 10, classes=2)
    got = evaluate_retrieval(x, y, x, y, recall_at=(1, 1000), leave_one_out=True)
    assert got["recall@1000"] == 1


def test_blocks_cover_every_query_once_and_stay_small() -> None:
    # METHOD: the reference builds a queries × gallery matrix.
    x, _ = random_set(0, 100)
    k = np.arange(100) % 7 + 1
    seen = []
    for rows, found, distances in search_blocks(
        x, x, k, exclude_self=False, block_size=9
    ):
        assert len(rows) <= 9
        assert found.shape == distances.shape == (len(rows), k[rows].max())
        seen.extend(rows)
    assert sorted(seen) == list(range(100))


def test_nmi_of_clear_clusters_is_one() -> None:
    labels = np.repeat(np.arange(4), 10).astype(np.int32)
    points = np.eye(4, dtype=np.float32)[labels]
    points += 0.01 * np.random.default_rng(0).normal(size=points.shape).astype(
        np.float32
    )
    values = [clustering_nmi(points, labels, seed=seed) for seed in range(5)]
    assert max(values) == pytest.approx(1)
    assert normalized_mutual_info_score(labels, labels) == 1
