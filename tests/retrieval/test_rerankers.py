import numpy as np
import pytest

from dce_tf.base.errors import UsageError
from dce_tf.datasets import Search
from dce_tf.retrieval import score_search
from dce_tf.retrieval.rerankers import RERANKERS, Asked
from dce_tf.retrieval.rerankers.local import Local
from tests.retrieval.test_protocols import images

# Places are compared in test_places.py.
OF_EMBEDDINGS = [
    name for name in RERANKERS if not isinstance(RERANKERS.build(name), Local)
]


def clusters(seed: int, number: int, dim: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(5, size=number).astype(np.int32)
    centres = np.random.default_rng(77).normal(size=(5, dim))
    points = centres[labels] + 0.9 * rng.normal(size=(number, dim))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return points.astype(np.float32), labels


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.linalg.norm(a[:, None].astype(float) - b[None], axis=2)


def apart_by_loop(images: np.ndarray, program: bool) -> np.ndarray:
    """Distances of each image to all, of the paper or of the authors' program."""
    table = distances(images, images)
    if program:
        for i in range(len(images)):
            table[i] = table[i] ** 2
            table[i] /= max(table[i])
    return table


def reciprocal_by_loop(
    images: np.ndarray, k1: int, k2: int, program: bool
) -> np.ndarray:
    """Jaccard distances, from the equations of Zhong et al."""
    apart = apart_by_loop(images, program)
    order = [
        [
            i,
            *sorted(
                (j for j in range(len(images)) if j != i), key=lambda j: apart[i, j]
            ),
        ]
        for i in range(len(images))
    ]

    def mutual(i: int, k: int) -> set[int]:
        return {j for j in order[i][: k + 1] if i in order[j][: k + 1]}

    table = np.zeros((len(images), len(images)))
    for i in range(len(images)):
        own = mutual(i, k1)
        wide = set(own)
        for j in own:
            half = mutual(j, round(k1 / 2))
            shared = 3 * len(half & own)
            if shared > 2 * len(half) or (not program and shared == 2 * len(half)):
                wide |= half
        for j in wide:
            table[i, j] = np.exp(-apart[i, j])
    table /= table.sum(axis=1, keepdims=True)
    table = np.stack([table[near[:k2]].mean(axis=0) for near in order])
    smaller = np.minimum(table[:, None], table[None]).sum(axis=2)
    larger = np.maximum(table[:, None], table[None]).sum(axis=2)
    return 1 - smaller / larger


@pytest.mark.parametrize("k2", [1, 4])
@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("form", ["paper", "program"])
def test_k_reciprocal_equals_a_plain_loop(form: str, same: bool, k2: int) -> None:
    gallery, _ = clusters(0, 50)
    query = gallery if same else clusters(1, 20)[0]
    everything = gallery if same else np.concatenate([query, gallery])
    jaccard = reciprocal_by_loop(everything, 8, k2, form == "program")
    mixed = 0.7 * jaccard + 0.3 * apart_by_loop(everything, form == "program")
    expected = mixed[: len(query), 0 if same else len(query) :]
    spec = f"k_reciprocal(k1=8, k2={k2}, form={form})"
    scorer = RERANKERS.build(spec)(Asked(query, gallery, same))
    got = -scorer(np.arange(len(query)))
    off_diagonal = ~np.eye(len(query), len(gallery), dtype=bool) | (not same)
    np.testing.assert_allclose(got[off_diagonal], expected[off_diagonal], atol=1e-5)


def test_program_and_paper_order_differently() -> None:
    x, y = clusters(0, 120)
    part = images(y)
    search = Search("test", part, part)
    paper, program = (
        score_search(search, x, x, recall_at=(1,), rerank=RERANKERS.build(spec)).means
        for spec in ("k_reciprocal", "k_reciprocal(form=program)")
    )
    assert paper["map"] != pytest.approx(program["map"], abs=1e-4)


@pytest.mark.parametrize("name", OF_EMBEDDINGS)
def test_reranking_goes_by_the_metric(name: str) -> None:
    x, y = clusters(0, 120)
    rng = np.random.default_rng(1)
    stretched = x * rng.uniform(0.2, 5, (120, 1)).astype(np.float32)
    part = images(y)
    search, rerank = Search("test", part, part), RERANKERS.build(name)
    unit, cosine, euclidean = (
        score_search(search, each, each, recall_at=(1,), rerank=rerank, metric=metric)
        for each, metric in (
            (x, "euclidean"),
            (stretched, "cosine"),
            (stretched, "euclidean"),
        )
    )
    assert cosine.means == pytest.approx(unit.means, abs=1e-6)
    assert euclidean.means != pytest.approx(unit.means, abs=1e-2)


@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("alpha", [0.0, 3.0])
def test_query_expansion_equals_a_plain_loop(alpha: float, same: bool) -> None:
    gallery, _ = clusters(0, 50)
    query = gallery if same else clusters(1, 20)[0]
    scorer = RERANKERS.build(f"query_expansion(n=3, alpha={alpha})")(
        Asked(query, gallery, same)
    )
    got = scorer(np.arange(len(query)))
    for i, vector in enumerate(query):
        others = [j for j in range(len(gallery)) if not (same and i == j)]
        others.sort(key=lambda j: -float(vector @ gallery[j]))
        total, weights = vector.astype(float), 1.0
        for j in others[:3]:
            weight = max(0.0, float(vector @ gallery[j])) ** alpha
            total, weights = total + weight * gallery[j], weights + weight
        mean = total / weights
        expected = mean @ mean - np.sum((mean - gallery) ** 2, axis=1)
        np.testing.assert_allclose(got[i], expected, atol=1e-5)


@pytest.mark.parametrize("name", OF_EMBEDDINGS)
def test_every_reranking_helps_in_noisy_clusters(name: str) -> None:
    x, y = clusters(0, 200, dim=16)
    part = images(y)
    search = Search("test", part, part)
    plain, again = (
        score_search(search, x, x, recall_at=(1,), rerank=rerank).means["map"]
        for rerank in (None, RERANKERS.build(name))
    )
    assert again > plain + 0.01


@pytest.mark.parametrize("name", OF_EMBEDDINGS)
def test_every_reranking_survives_few_images_and_duplicates(name: str) -> None:
    x = np.ones((3, 4), np.float32) / 2
    scores = RERANKERS.build(name)(Asked(x, x, True))(np.arange(3))
    assert scores.shape == (3, 3)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize(
    "spec",
    [
        "k_reciprocal(k1=3, k2=4)",
        "k_reciprocal(weight=1.1)",
        "k_reciprocal(form=code)",
        "query_expansion(n=0)",
        "query_expansion(alpha=-1.0)",
    ],
)
def test_options_out_of_range_are_refused(spec: str) -> None:
    with pytest.raises(UsageError, match="needs"):
        RERANKERS.build(spec)
