import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from dce_tf.base.errors import UsageError
from dce_tf.retrieval import evaluate_retrieval, ranking

KS = (1, 2, 4, 8)
MAP_KS = (1, 5, 10)


def by_loop(
    query, query_labels, gallery, gallery_labels, leave_one_out: bool, hidden=None
) -> dict:
    """Written from the definitions; among equals the wrong ones come first."""
    names = [f"recall@{k}" for k in KS] + [f"map@{k}" for k in MAP_KS]
    names += ["precision@1", "map@r", "r_precision", "map"]
    totals = dict.fromkeys(names, 0.0)
    for i, vector in enumerate(query):
        others = [
            j
            for j in range(len(gallery))
            if not (leave_one_out and i == j) and not (hidden and hidden(i, j))
        ]
        others.sort(
            key=lambda j: (
                round(float(np.sum((vector.astype(float) - gallery[j]) ** 2)), 5),
                gallery_labels[j] == query_labels[i],
            )
        )
        right = [bool(gallery_labels[j] == query_labels[i]) for j in others]
        for k in KS:
            totals[f"recall@{k}"] += any(right[:k])
        totals["precision@1"] += sum(right[:1])
        relevant = sum(right)
        if not relevant:
            continue
        average = dict.fromkeys((*MAP_KS, relevant, len(right)), 0.0)
        hits = 0
        for rank, hit in enumerate(right, 1):
            hits += hit
            for cut in average:
                if rank <= cut:
                    average[cut] += hit * hits / rank
        for k in MAP_KS:
            totals[f"map@{k}"] += average[k] / min(k, relevant)
        totals["map@r"] += average[relevant] / relevant
        totals["map"] += average[len(right)] / relevant
        totals["r_precision"] += sum(right[:relevant]) / relevant
    return {key: total / len(query) for key, total in totals.items()}


def evaluate(*args, **settings) -> dict[str, float]:
    settings = {"metric": "euclidean", **settings}
    return evaluate_retrieval(*args, recall_at=KS, map_at=MAP_KS, **settings)


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
    got = evaluate(x, y, x, y, leave_one_out=True)
    assert got == pytest.approx(by_loop(x, y, x, y, True), abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_query_and_gallery_equal_a_plain_loop(seed: int) -> None:
    (q, ql), (g, gl) = random_set(seed, 30, classes=9), random_set(seed + 50, 70)
    assert set(ql) - set(gl), "some queries must have nothing to find"
    got = evaluate(q, ql, g, gl)
    assert got == pytest.approx(by_loop(q, ql, g, gl, False), abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_ties_and_duplicates_count_against_the_model(seed: int) -> None:
    # Whole numbers, so that ties are exact; duplicates have their class by chance.
    rng = np.random.default_rng(seed)
    x = rng.integers(4, size=(60, 2)).astype(np.float32)
    y = rng.integers(3, size=60).astype(np.int32)
    got = evaluate(x, y, x, y, leave_one_out=True)
    assert got == pytest.approx(by_loop(x, y, x, y, True), abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_duplicates_of_unit_vectors_are_ties_in_spite_of_rounding(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = np.repeat(rng.normal(size=(12, 64)), 4, axis=0)
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    y = rng.integers(3, size=48).astype(np.int32)
    got = evaluate(x, y, x, y, leave_one_out=True)
    assert got == pytest.approx(by_loop(x, y, x, y, True), abs=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_a_collapsed_network_finds_nothing(value: float) -> None:
    x = np.full((30, 8), value, np.float32)
    y = np.repeat(np.arange(3), 10).astype(np.int32)
    got = evaluate(x, y, x, y, leave_one_out=True)
    assert max(got[f"recall@{k}"] for k in KS) == 0
    # All 20 of other classes come first: ranks 21 to 29.
    assert got["map"] == pytest.approx(np.mean([j / (20 + j) for j in range(1, 10)]))


def test_hand_worked_number() -> None:
    x = np.array([[0.0], [1.0], [2.1], [3.3]], np.float32)
    y = np.array([0, 1, 0, 0], np.int32)
    got = evaluate(x, y, x, y, leave_one_out=True)
    # Image 0 finds 1 ✗, 2 ✓, 3 ✓, R = 2: precision 1/2, MAP@R 1/2 · 1/2.
    # Image 1 has no other of its class: a miss.
    # Image 2 finds 1 ✗, 3 ✓, 0 ✓: the same.  Image 3 finds 2 ✓, 1 ✗, 0 ✓: 1/2, 1/2.
    assert got["recall@1"] == got["precision@1"] == pytest.approx(1 / 4)
    assert got["recall@2"] == pytest.approx(3 / 4)
    assert got["r_precision"] == pytest.approx(1.5 / 4)
    assert got["map@r"] == pytest.approx((0.25 + 0.25 + 0.5) / 4)
    assert got["map@1"] == pytest.approx(1 / 4)
    either = (1 / 2 + 2 / 3) / 2
    assert got["map"] == got["map@5"] == pytest.approx((2 * either + 5 / 6) / 4)


def one_query(right: list[int]) -> dict[str, float]:
    gallery = np.arange(1, len(right) + 1, dtype=np.float32)[:, None]
    labels = np.array(right, np.int32)
    return evaluate(np.zeros((1, 1)), np.ones(1, np.int32), gallery, labels)


@pytest.mark.parametrize(
    ("right", "r_precision", "map_at_r"),
    [
        # "A metric learning reality check", figure 3: R = 10, one right of ten and …
        ([1, 0, 0, 0, 0, 0, 0, 0, 0, 0] + [1] * 9, 0.1, 0.1),
        ([1, 0, 0, 0, 0, 0, 0, 0, 0, 1] + [1] * 8, 0.2, 0.12),
        ([1, 1, 0, 0, 0, 0, 0, 0, 0, 0] + [1] * 8, 0.2, 0.2),
        ([1] * 10, 1.0, 1.0),
    ],
)
def test_published_examples_of_map_at_r(
    right: list[int], r_precision: float, map_at_r: float
) -> None:
    got = one_query(right)
    assert got["recall@1"] == 1
    assert got["r_precision"] == pytest.approx(r_precision)
    assert got["map@r"] == pytest.approx(map_at_r)


@pytest.mark.parametrize("seed", range(5))
def test_map_equals_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    right = rng.integers(2, size=40).tolist()
    expected = average_precision_score(right, -np.arange(40))
    assert one_query(right)["map"] == pytest.approx(expected)


def test_classes_of_very_different_size_share_one_search() -> None:
    x, _ = random_set(0, 80)
    y = np.repeat(np.arange(4), [2, 3, 15, 60]).astype(np.int32)
    got = evaluate(x, y, x, y, leave_one_out=True)
    assert got == pytest.approx(by_loop(x, y, x, y, True), abs=1e-6)


def test_small_blocks_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = random_set(0, 90)
    expected = evaluate(x, y, x, y, leave_one_out=True)
    monkeypatch.setattr(ranking, "BLOCK_SCORES", 500)
    assert evaluate(x, y, x, y, leave_one_out=True) == pytest.approx(expected)


def test_k_beyond_the_gallery_finds_everything() -> None:
    x, y = random_set(0, 10, classes=2)
    got = evaluate_retrieval(x, y, x, y, recall_at=(1, 1000), leave_one_out=True)
    assert got["recall@1000"] == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"query": 0}, r"query must be .* received float32 of shape \(0, 5\)"),
        ({"gallery": 3}, "gallery must be .* received 3 embeddings and 10 labels"),
        ({"recall_at": ()}, "Each K of recall_at and map_at must be 1 or more"),
        ({"recall_at": (0, 1)}, "Each K of recall_at and map_at must be 1 or more"),
        ({"map_at": (0,)}, "Each K of recall_at and map_at must be 1 or more"),
    ],
)
def test_what_cannot_be_measured_is_refused(settings: dict, message: str) -> None:
    x, y = random_set(0, 10)
    query, gallery = (x[: settings.pop(name, 10)] for name in ("query", "gallery"))
    with pytest.raises(ValueError, match=message):
        evaluate_retrieval(query, y, gallery, y, **settings)


def test_leave_one_out_of_two_sets_is_refused() -> None:
    x, y = random_set(0, 10)
    with pytest.raises(ValueError, match="must be the same; received 10 and 8"):
        evaluate_retrieval(x, y, x[:8], y[:8], leave_one_out=True)


@pytest.mark.parametrize("leave_one_out", [True, False])
@pytest.mark.parametrize("factor", [1e3, 1e6])
def test_one_long_vector_leaves_the_other_queries_alone(
    factor: float, leave_one_out: bool
) -> None:
    (x, y), (g, gl) = random_set(0, 60), random_set(1, 60)
    if leave_one_out:
        g, gl = x, y
    x[7] *= factor
    g[9] *= factor
    got = evaluate(x, y, g, gl, leave_one_out=leave_one_out)
    assert got == pytest.approx(by_loop(x, y, g, gl, leave_one_out), abs=1e-6)
    assert got["recall@1"] > 0.2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("offset", [1e2, 1e4])
def test_an_offset_common_to_all_changes_nothing(offset: float, dtype: type) -> None:
    (q, ql), (g, gl) = random_set(0, 40), random_set(1, 60)
    q, g = ((each + offset).astype(dtype) for each in (q, g))
    got = evaluate(q, ql, g, gl)
    assert got == pytest.approx(by_loop(q, ql, g, gl, False), abs=1e-6)
    assert got["recall@1"] > 0.2


def test_an_offset_that_only_float64_can_hold_changes_nothing() -> None:
    x, y = random_set(0, 60)
    far = x.astype(np.float64) + 1e9
    got = evaluate(far, y, far, y, leave_one_out=True)
    assert got == pytest.approx(by_loop(far, y, far, y, True), abs=1e-6)


def test_an_offset_and_a_long_vector_at_once_change_nothing() -> None:
    x, y = random_set(0, 60)
    x[7] *= 1000
    x += 500
    got = evaluate(x, y, x, y, leave_one_out=True)
    assert got == pytest.approx(by_loop(x, y, x, y, True), abs=1e-6)


def test_cosine_is_the_default_and_goes_by_direction_alone() -> None:
    x, y = random_set(0, 60)
    rng = np.random.default_rng(1)
    stretched = x * rng.uniform(0.01, 100, (60, 1)).astype(np.float32)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    expected = by_loop(unit, y, unit, y, True)
    got = evaluate_retrieval(
        stretched, y, stretched, y, recall_at=KS, map_at=MAP_KS, leave_one_out=True
    )
    assert got == pytest.approx(expected, abs=1e-6)
    euclidean = evaluate(stretched, y, stretched, y, leave_one_out=True)
    assert euclidean != pytest.approx(expected, abs=0.05)


def test_unknown_metric_is_refused() -> None:
    x, y = random_set(0, 10)
    with pytest.raises(UsageError, match="metric='dot' is not one of cosine, euclid"):
        evaluate(x, y, x, y, metric="dot")


@pytest.mark.parametrize(
    "dtype", [np.float16, np.float64, np.int16, np.int64, np.uint8, ">f4"]
)
def test_embeddings_of_any_real_dtype_are_taken(dtype: type) -> None:
    x, y = random_set(0, 40)
    x = (20 * (x + 5)).clip(0, 255).astype(dtype)
    got = evaluate(x, y, x, y, leave_one_out=True)
    assert got == pytest.approx(by_loop(x, y, x, y, True), abs=1e-6)


@pytest.mark.parametrize(
    "labels",
    [
        np.array([2**32 + 1, 1, 2**32 + 1, 1]),  # One class in int32.
        np.array([2**53, 2**53 + 1, 2**53, 2**53 + 1]),  # One class in float64.
        np.array([2**64 - 1, 2**64 - 2, 2**64 - 1, 2**64 - 2], np.uint64),
        np.array([-1, 7, -1, 7], np.int8),
        np.array([[3.0], [4.0], [3.0], [4.0]], np.float32),
    ],
)
def test_labels_are_compared_exactly(labels: np.ndarray) -> None:
    x = np.array([[0.0], [10], [1], [12]], np.float32)
    got = evaluate(x, labels, x, labels, leave_one_out=True)
    assert got["recall@1"] == 1
    # Every other one is wrong: if classes ran together, its neighbour would be right.
    wrong = np.roll(labels, 1, axis=0)[[0, 1, 3, 2]]
    assert evaluate(x, wrong, x, wrong, leave_one_out=True)["recall@1"] == 0


def test_labels_of_two_dtypes_meet() -> None:
    x = np.array([[0.0], [10]], np.float32)
    for mine, theirs in (
        (np.array([1, 2]), np.array([1.0, 2.0])),
        (np.array([[1], [2]], np.int8), np.array([1, 2], np.uint64)),
        (np.array([2**64 - 1, 2], np.uint64), np.array([-1, 2])),
    ):
        got = evaluate(x, mine, x, theirs)
        assert got["recall@1"] == (0.5 if mine.max() > 9 else 1)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a"] * 10, "labels of query must be integers; received <U1"),
        ([True] * 10, "must be integers; received bool"),
        (np.array([1] * 10, object), "must be integers; received object"),
        ([0.5] * 10, "must be integers; received 0.5 in row 0"),
        ([0.0] * 9 + [np.nan], "must be integers; received nan in row 9"),
        (np.full(10, 2**24, np.float32), "cannot tell integers of 16777216 or more"),
        (np.zeros((10, 2), int), "must be one per image"),
        (np.zeros((2, 5), int), "must be one per image"),
        (3, "must be one per image"),
    ],
)
def test_labels_that_are_no_classes_are_refused(labels, message: str) -> None:
    x, y = random_set(0, 10)
    with pytest.raises(ValueError, match=message):
        evaluate(x, labels, x, y)


@pytest.mark.parametrize(
    ("embeddings", "message"),
    [
        (np.zeros(10), r"query must be .* received float64 of shape \(10,\)"),
        (np.zeros((10, 5), complex), "received complex128"),
        (np.zeros((10, 5), "U1"), "received <U1"),
        (np.zeros((10, 0)), "received float64"),
        (np.zeros((10, 4)), "one width; received 4 and 5 numbers"),
        (np.full((10, 5), 1e30), "largest number of the query embeddings is 1e"),
    ],
)
def test_what_is_no_embedding_is_refused(embeddings, message: str) -> None:
    x, y = random_set(0, 10)
    with pytest.raises(ValueError, match=message):
        evaluate(embeddings, y, x, y)


def test_queries_without_anything_to_find_are_refused() -> None:
    x, y = random_set(0, 10)
    with pytest.raises(ValueError, match="None of 10 queries has an image of its cl"):
        evaluate(x, y, x, y + 7)
    with pytest.raises(ValueError, match="None of 10 queries"):
        evaluate(x, np.arange(10), x, np.arange(10), leave_one_out=True)


def test_leave_one_out_with_other_labels_is_refused() -> None:
    x, y = random_set(0, 10)
    with pytest.raises(ValueError, match="10 and 10 images, of other labels"):
        evaluate(x, y, x, y[::-1], leave_one_out=True)


def test_embeddings_that_are_not_finite_are_refused() -> None:
    x, y = random_set(0, 10)
    x[4] = np.nan
    with pytest.raises(ValueError, match="1 of 10 query embeddings are not finite"):
        evaluate_retrieval(x, y, x, y, leave_one_out=True)
