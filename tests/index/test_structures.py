from pathlib import Path

import numpy as np
import pytest

from dce_tf.base.errors import UsageError
from dce_tf.index import structures
from dce_tf.index.kinds import KINDS, check_kind, choose_kind
from dce_tf.index.structures import Structure, scan

DIM = 16
# 16 bits tell too few of 4,000 vectors apart.
SPECS = ["binary(bits=128)" if name == "binary" else name for name in KINDS]


def drawn(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(40, DIM))
    vectors = centres[rng.integers(40, size=count)] + rng.normal(0, 0.4, (count, DIM))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32)


def best(vectors: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    return np.sort(queries @ vectors.T, axis=1)[:, ::-1][:, :k]


@pytest.fixture(autouse=True)
def few_are_scanned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(structures, "SCANNED", 100)


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return drawn(4000)


@pytest.mark.parametrize("spec", SPECS)
def test_every_kind_finds_most_of_the_nearest(vectors: np.ndarray, spec: str) -> None:
    structure = Structure.build(vectors, spec)
    queries = drawn(50, seed=1)
    scores, positions = structure.search(queries, 10)
    true = np.take_along_axis(queries @ vectors.T, positions, axis=1)
    # Scores are exact, whatever the codes are.
    np.testing.assert_allclose(scores, true, atol=1e-5)
    assert (np.diff(scores, axis=1) <= 0).all()
    assert all(len(set(row)) == 10 for row in positions.tolist())
    recall = (scores >= best(vectors, queries, 10)[:, -1:] - 1e-6).mean()
    assert recall == 1 if spec == "exact" else recall > 0.9


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_every_kind_finds_only_what_counts(
    vectors: np.ndarray, spec: str, share: float
) -> None:
    keep = np.random.default_rng(2).random(len(vectors)) < share
    structure = Structure.build(vectors, spec)
    queries = drawn(30, seed=1)
    scores, positions = structure.search(queries, 10, keep)
    assert keep[positions].all()
    recall = (scores >= best(vectors[keep], queries, 10)[:, -1:] - 1e-6).mean()
    assert recall > 0.85


@pytest.mark.parametrize(
    "spec",
    ["hnsw(ef=2)", "ivf_sq(probes=1)", "ivf_pq(probes=1)", "int8", "binary(rescore=1)"],
)
def test_as_many_are_found_as_there_are(vectors: np.ndarray, spec: str) -> None:
    structure = Structure.build(vectors, spec)
    queries = drawn(3, seed=1)
    keep = np.zeros(len(vectors), bool)
    keep[::20] = True
    for wanted, mask in ((4000, None), (5000, None), (150, keep), (500, keep)):
        scores, positions = structure.search(queries, wanted, mask)
        count = len(vectors) if mask is None else int(mask.sum())
        assert positions.shape == (3, min(wanted, count))
        assert (positions >= 0).all()
        assert np.isfinite(scores).all()
        assert all(len(set(row)) == len(row) for row in positions.tolist())


def test_nothing_counts(vectors: np.ndarray) -> None:
    keep = np.zeros(len(vectors), bool)
    scores, positions = Structure.build(vectors, "hnsw").search(vectors[:2], 3, keep)
    assert scores.shape == positions.shape == (2, 0)


def test_scan_is_exact_with_few_and_many_that_count(vectors: np.ndarray) -> None:
    queries = drawn(5, seed=1)
    for share in (0.01, 0.5):
        keep = np.random.default_rng(3).random(len(vectors)) < share
        scores, positions = scan(vectors, queries, 7, keep)
        assert keep[positions].all()
        np.testing.assert_allclose(scores, best(vectors[keep], queries, 7), atol=1e-5)


def test_candidates_are_compared_exactly(vectors: np.ndarray) -> None:
    queries = drawn(50, seed=1)
    least = best(vectors, queries, 10)[:, -1:] - 1e-6
    recall = {}
    for refine in (1, 10):
        spec = f"ivf_pq(code=2, probes=100, refine={refine})"
        scores, _ = Structure.build(vectors, spec).search(queries, 10)
        recall[refine] = (scores >= least).mean()
    assert recall[10] > recall[1] + 0.1


@pytest.mark.parametrize("k", [1, 60, 500])
@pytest.mark.parametrize("kind", ["int8", "binary", "ivf_pq", "ivf_sq"])
def test_scores_are_exact_however_few_are_compared(
    vectors: np.ndarray, kind: str, k: int
) -> None:
    least = "refine=1" if kind.startswith("ivf") else "rescore=1"
    queries = drawn(20, seed=1)
    structure = Structure.build(vectors, f"{kind}({least})")
    scores, positions = structure.search(queries, k)
    assert scores.shape == (20, k)
    true = np.take_along_axis(queries @ vectors.T, positions, axis=1)
    np.testing.assert_allclose(scores, true, atol=1e-6)
    assert (np.diff(scores, axis=1) <= 0).all()


@pytest.mark.parametrize(
    ("kind", "other", "k"),
    [("int8(rescore=1)", "int8(rescore=40)", 10), ("binary", "binary(rescore=10)", 10)],
)
def test_more_than_asked_for_are_compared(
    vectors: np.ndarray, kind: str, other: str, k: int
) -> None:
    queries = drawn(20, seed=1)
    found = [
        Structure.build(vectors, each).search(queries, k) for each in (kind, other)
    ]
    np.testing.assert_array_equal(found[0][1], found[1][1])


def test_more_compared_find_more(vectors: np.ndarray) -> None:
    queries = drawn(50, seed=1)
    least = best(vectors, queries, 10)[:, -1:] - 1e-6
    recall = []
    for rescore in (100, 1000, 4000):
        structure = Structure.build(vectors, f"binary(rescore={rescore})")
        recall.append((structure.search(queries, 10)[0] >= least).mean())
    assert recall[0] < recall[1] < recall[2] == 1


@pytest.mark.parametrize(
    ("dim", "bits", "expected"), [(20, 0, 3), (16, 0, 2), (16, 33, 5), (64, 8, 1)]
)
def test_bits_fill_whole_bytes(dim: int, bits: int, expected: int) -> None:
    few = np.random.default_rng(0).normal(size=(300, dim)).astype(np.float32)
    few /= np.linalg.norm(few, axis=1, keepdims=True)
    structure = Structure.build(few, f"binary(bits={bits})")
    assert structure.index.codes.code_size == expected
    _, positions = structure.search(few[:5], 1)
    assert positions[:, 0].tolist() == list(range(5))


@pytest.mark.parametrize("kind", ["int8", "binary"])
def test_codes_are_short_on_disk_too(
    vectors: np.ndarray, kind: str, tmp_path: Path
) -> None:
    path = tmp_path / "search.faiss"
    structure = Structure.build(vectors, kind)
    assert structure.write(path)
    per_vector = {"int8": DIM, "binary": DIM // 8}[kind]
    assert path.stat().st_size < len(vectors) * per_vector + 4000
    again = Structure.read(vectors, kind, path)
    queries = drawn(9, seed=1)
    for one, other in zip(
        structure.search(queries, 10), again.search(queries, 10), strict=True
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", ["int8", "binary"])
def test_numbers_that_never_differ_are_no_trouble(kind: str) -> None:
    alike = np.zeros((300, DIM), np.float32)
    alike[:, 0] = 1
    scores, positions = Structure.build(alike, kind).search(alike[:2], 3)
    np.testing.assert_allclose(scores, 1)
    assert all(len(set(row)) == 3 for row in positions.tolist())


@pytest.mark.parametrize(
    ("spec", "count", "expected"),
    [
        ("auto", 100_000, "exact"),
        ("auto", 100_001, "hnsw"),
        ("auto", 2_000_001, "ivf_sq"),
        ("auto", 20_000_001, "ivf_pq"),
        ("hnsw(ef=3)", 5, "hnsw(ef=3)"),
        ("hnsw", 1, "exact"),
        ("ivf_pq", 0, "exact"),
    ],
)
def test_kind_goes_with_the_number(spec: str, count: int, expected: str) -> None:
    assert choose_kind(spec, count) == expected


@pytest.mark.parametrize("count", [2, 3, 30, 300])
@pytest.mark.parametrize("spec", list(KINDS))
def test_few_vectors_are_no_trouble(spec: str, count: int) -> None:
    few = drawn(count)
    scores, positions = Structure.build(few, spec).search(few, 2)
    assert positions[:, 0].tolist() == list(range(count))
    np.testing.assert_allclose(scores[:, 0], 1, atol=1e-5)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("hnws", "Did you mean 'hnsw'"),
        ("hnsw(links=1)", "links=1): expected a whole number from 2"),
        ("hnsw(ef=0.5)", "ef=0.5"),
        ("ivf_sq(lists=-1)", "lists=-1"),
        ("ivf_pq(refine=0)", "refine=0"),
        ("ivf_pq(bytes=3)", "no option 'bytes'"),
        ("exact(ef=1)", "no option 'ef'"),
        ("int8(rescore=0)", "rescore=0): expected a whole number from 1"),
        ("binary(bits=-8)", "bits=-8"),
        ("binary(code=3)", "no option 'code'"),
        ("auto(x=1)", "Unknown kind"),
    ],
)
def test_kind_that_cannot_be_is_refused(spec: str, message: str) -> None:
    check_kind("auto")
    with pytest.raises(UsageError) as error:
        check_kind(spec)
    assert message in str(error.value)


def test_code_that_does_not_fit_names_one_that_does(vectors: np.ndarray) -> None:
    with pytest.raises(UsageError, match="nearest that works is 4"):
        Structure.build(vectors, "ivf_pq(code=5)")
