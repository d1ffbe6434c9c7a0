import numpy as np
import pytest
from sklearn.metrics import normalized_mutual_info_score

from dce_tf.retrieval import clustering_nmi, evaluate_retrieval

KS = (1, 2, 4, 8)


def by_loop(
    query, query_labels, gallery, gallery_labels, leave_one_out: bool, tie=0
) -> dict:
    totals = dict.fromkeys([*(f"recall@{k}" for k in KS), "map@r", "r_precision"], 0.0)
    for i, vector in enumerate(query):
        others = [j for j in range(len(gallery)) if not (leave_one_out and i == j)]
        # Among equals, tie = −1 puts the right ones first, 1 last.
        others.sort(
            key=lambda j: (
                float(np.sum((vector - gallery[j]) ** 2)),
                tie * (gallery_labels[j] == query_labels[i]),
            )
        )
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


def test_classes_of_very_different_size_share_one_search() -> None:
    x, _ = random_set(0, 80)
    y = np.repeat(np.arange(4), [2, 3, 15, 60]).astype(np.int32)
    got = evaluate_retrieval(x, y, x, y, recall_at=KS, leave_one_out=True)
    assert got == pytest.approx(by_loop(x, y, x, y, True), abs=1e-6)


def grid_set(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers, so that ties are exact; duplicates share their class."""
    points = np.random.default_rng(seed).integers(4, size=(60, 2)).astype(np.float32)
    return points, (points.sum(axis=1) % 3).astype(np.int32)


@pytest.mark.parametrize("seed", range(5))
def test_with_ties_lies_between_the_best_and_the_worst_order(seed: int) -> None:
    x, y = grid_set(seed)
    got = evaluate_retrieval(x, y, x, y, recall_at=KS, leave_one_out=True)
    best, worst = (by_loop(x, y, x, y, True, tie) for tie in (-1, 1))
    assert best["map@r"] > worst["map@r"], "there must be ties"
    for key, value in got.items():
        assert worst[key] - 1e-6 <= value <= best[key] + 1e-6


def test_duplicates_of_a_class_equal_a_plain_loop() -> None:
    x, y = (np.concatenate([part] * 3) for part in random_set(3, 30))
    got = evaluate_retrieval(x, y, x, y, recall_at=KS, leave_one_out=True)
    assert got == pytest.approx(by_loop(x, y, x, y, True), abs=1e-6)


def test_k_beyond_the_gallery_finds_everything() -> None:
    x, y = random_set(0, 10, classes=2)
    got = evaluate_retrieval(x, y, x, y, recall_at=(1, 1000), leave_one_out=True)
    assert got["recall@1000"] == 1


def test_nmi_of_clear_clusters_is_one() -> None:
    labels = np.repeat(np.arange(4), 10).astype(np.int32)
    points = np.eye(4, dtype=np.float32)[labels]
    points += 0.01 * np.random.default_rng(0).normal(size=points.shape).astype(
        np.float32
    )
    values = [clustering_nmi(points, labels, seed=seed) for seed in range(5)]
    assert max(values) == pytest.approx(1)
    assert normalized_mutual_info_score(labels, labels) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"query": 0}, "query must be .* received 0 embeddings"),
        ({"gallery": 3}, "gallery must be .* received 3 embeddings and 10 labels"),
        ({"recall_at": ()}, "Each K of recall_at must be 1 or more"),
        ({"recall_at": (0, 1)}, "Each K of recall_at must be 1 or more"),
    ],
)
def test_what_cannot_be_measured_is_refused(settings: dict, message: str) -> None:
    x, y = random_set(0, 10)
    query, gallery = x[: settings.get("query", 10)], x[: settings.get("gallery", 10)]
    recall_at = settings.get("recall_at", KS)
    with pytest.raises(ValueError, match=message):
        evaluate_retrieval(query, y, gallery, y, recall_at=recall_at)


def test_leave_one_out_of_two_sets_is_refused() -> None:
    x, y = random_set(0, 10)
    with pytest.raises(ValueError, match="must be the same; received 10 and 8"):
        evaluate_retrieval(x, y, x[:8], y[:8], leave_one_out=True)


def test_embeddings_that_are_not_finite_are_refused() -> None:
    # FAISS finds −1 for them, which NumPy takes for the last image.
    x, y = random_set(0, 10)
    x[4] = np.nan
    with pytest.raises(ValueError, match="1 of 10 query embeddings are not finite"):
        evaluate_retrieval(x, y, x, y, leave_one_out=True)
