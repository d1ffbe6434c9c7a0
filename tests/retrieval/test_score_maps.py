import numpy as np
import pytest
import sklearn.isotonic
import sklearn.linear_model

from dce_tf.retrieval.pair_histogram import PairHistogram
from dce_tf.retrieval.pair_tiles import STEPS
from dce_tf.retrieval.score_maps import fit_score_map, mean_errors

CELL = STEPS // 512


def counted(positive: np.ndarray, negative: np.ndarray) -> PairHistogram:
    """Returns pairs in the middle of each of 512 cells."""
    histogram = PairHistogram.empty()
    histogram.positive[CELL // 2 :: CELL] = positive
    histogram.negative[CELL // 2 :: CELL] = negative
    return histogram


def drawn(seed: int, line: bool, size: int = 40_000) -> PairHistogram:
    """Returns pairs whose log-odds are a straight line, or a step."""
    rng = np.random.default_rng(seed)
    cells = rng.integers(512, size=size)
    cosine = (2 * cells + 1) / 512 - 1
    odds = 6 * cosine - 1 if line else np.where(cosine > 0.4, 4, -4)
    own = rng.random(size) < 1 / (1 + np.exp(-odds))
    return counted(
        np.bincount(cells[own], minlength=512), np.bincount(cells[~own], minlength=512)
    )


def folds(line: bool) -> list[tuple[PairHistogram, PairHistogram]]:
    return [(drawn(seed, line), drawn(seed + 10, line)) for seed in range(3)]


@pytest.mark.parametrize("line", [True, False])
def test_kind_that_holds_better_is_kept(line: bool) -> None:
    found, log_loss, error = fit_score_map(drawn(0, line), folds(line), 20)
    assert found.method == ("logistic" if line else "isotonic")
    assert 0 < log_loss < np.log(2)
    assert error < 0.03


def bent(seed: int) -> PairHistogram:
    """Returns pairs whose log-odds are a line, but for the few of highest cosine."""
    rng = np.random.default_rng(seed)
    cells = np.clip(rng.normal(256, 60, 10_000), 0, 511).astype(int)
    cosine = (2 * cells + 1) / 512 - 1
    odds = 6 * cosine + np.where(cosine > 0.5, 6, 0)
    own = rng.random(len(cells)) < 1 / (1 + np.exp(-odds))
    return counted(
        np.bincount(cells[own], minlength=512), np.bincount(cells[~own], minlength=512)
    )


@pytest.mark.parametrize(
    ("num_classes", "method"), [(1, "logistic"), (1000, "isotonic")]
)
def test_searches_among_many_classes_count_the_highest_cosines(
    num_classes: int, method: str
) -> None:
    parts = [(bent(seed), bent(seed + 10)) for seed in range(3)]
    assert fit_score_map(bent(0), parts, num_classes)[0].method == method


def test_line_is_that_of_scikit_learn() -> None:
    histogram = drawn(0, line=True)
    found, _, _ = fit_score_map(histogram, folds(line=True), 20)
    cosines = 2 * np.arange(STEPS + 1) / STEPS - 1
    x = np.concatenate([cosines, cosines])[:, None]
    y = np.repeat([1, 0], STEPS + 1)
    own, others = (
        each / each.sum() for each in (histogram.positive, histogram.negative)
    )
    weights = np.concatenate([own, others])
    used = weights > 0
    model = sklearn.linear_model.LogisticRegression(C=1e9, tol=1e-8)
    model.fit(x[used], y[used], sample_weight=1000 * weights[used])
    expected = model.decision_function([[-1.0], [1.0]])
    np.testing.assert_allclose(found.log_odds, expected, rtol=0.01)


def test_steps_are_those_of_scikit_learn() -> None:
    histogram = drawn(0, line=False)
    found, _, _ = fit_score_map(histogram, folds(line=False), 20)
    own, others = (
        each[CELL // 2 :: CELL] / each.sum()
        for each in (histogram.positive, histogram.negative)
    )
    cosines = (2 * np.arange(512) + 1) / 512 - 1
    expected = sklearn.isotonic.IsotonicRegression().fit(
        cosines, own / (own + others), sample_weight=own + others
    )
    probability = 1 / (1 + np.exp(-np.array(found.log_odds)))
    inside = (probability > 0.02) & (probability < 0.98)
    np.testing.assert_allclose(
        probability[inside], expected.predict(found.scores)[inside], atol=0.02
    )
    assert len(found.scores) == len(np.unique(expected.predict(cosines)))


def test_nothing_is_certain_where_the_kinds_are_apart() -> None:
    positive, negative = np.zeros((2, 512), int)
    positive[400:], negative[:100] = 10, 10
    apart = counted(positive, negative)
    found, log_loss, _ = fit_score_map(apart, [(apart, apart)] * 2, 20)
    assert np.isfinite(found.log_odds).all()
    assert log_loss > 0


def test_kinds_that_are_alike_have_even_odds() -> None:
    alike = counted(np.full(512, 5), np.full(512, 500))
    found, log_loss, error = fit_score_map(alike, [(alike, alike)] * 2, 20)
    np.testing.assert_allclose(found.log_odds, 0, atol=1e-3)
    assert log_loss == pytest.approx(np.log(2), abs=1e-3)
    assert error < 1e-3


def test_errors_by_hand() -> None:
    # Both kinds count alike: of 0.8, a half and a tenth; of 0.2, the rest.
    log_loss, error = mean_errors(
        np.array([0.8, 0.2]), np.array([1.0, 1.0]), np.array([2.0, 8.0])
    )
    own, others = np.array([0.25, 0.25]), np.array([0.1, 0.4])
    expected = -own @ np.log([0.8, 0.2]) - others @ np.log([0.2, 0.8])
    assert log_loss == pytest.approx(expected)
    assert error == pytest.approx(abs(0.25 - 0.35 * 0.8) + abs(0.25 - 0.65 * 0.2))


def test_errors_at_a_prior_by_hand() -> None:
    # A tenth is of one class: 0.05 of it at either cell; the rest, 0.18 and 0.72.
    log_loss, error = mean_errors(
        np.array([0.8, 0.2]), np.array([1.0, 1.0]), np.array([2.0, 8.0]), prior=0.1
    )
    own, others = np.array([0.05, 0.05]), np.array([0.18, 0.72])
    expected = -own @ np.log([0.8, 0.2]) - others @ np.log([0.2, 0.8])
    assert log_loss == pytest.approx(expected)
    assert error == pytest.approx(abs(0.05 - 0.23 * 0.8) + abs(0.05 - 0.77 * 0.2))
