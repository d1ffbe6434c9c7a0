"""From a cosine to the odds that two images are of one class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.optimize
import scipy.special

from dce_tf.retrieval.pair_histogram import PairHistogram, cosine_at
from dce_tf.retrieval.pair_tiles import STEPS

Values = npt.NDArray[np.float64]

_COARSE = STEPS // 512  # Grid points that are fitted as one.
_BINS = 15  # Of the calibration error.


class ScoreMap(NamedTuple):
    """Log-odds at cosines, for even odds before; straight lines between.

    Attributes:
        method: How it was fitted.
        scores: Cosines, rising, `(num_knots,)`.
        log_odds: Not falling, the same shape.
    """

    method: str
    scores: Values
    log_odds: Values


class _Cells(NamedTuple):
    """Pairs by their cosine, few enough places to fit."""

    cosines: Values
    positive: Values
    negative: Values


def fit_score_map(
    everything: PairHistogram, folds: Sequence[tuple[PairHistogram, PairHistogram]]
) -> tuple[ScoreMap, float, float]:
    """Fits both kinds of map, and keeps the one that holds better on other classes.

    Pairs of one class and pairs of two count alike, however many there are of each.

    Args:
        everything: All pairs.
        folds: For each fold the pairs of all other classes, and those of its own.

    Returns:
        The map of all pairs; the log loss and the calibration error of its kind on the
        folds, each fitted without it.
    """
    scored = {
        method: np.mean(
            [_errors(fit(_cells(rest)), _cells(own)) for rest, own in folds], 0
        )
        for method, fit in _FITS.items()
    }
    best = min(scored, key=lambda method: float(scored[method][0]))
    log_loss, calibration_error = scored[best]
    return _FITS[best](_cells(everything)), float(log_loss), float(calibration_error)


def _cells(histogram: PairHistogram) -> _Cells:
    starts = np.arange(0, STEPS + 1, _COARSE)
    positive, negative, total = (
        np.add.reduceat(each.astype(np.float64), starts)
        for each in (
            histogram.positive,
            histogram.negative,
            (histogram.positive + histogram.negative) * cosine_at(np.arange(STEPS + 1)),
        )
    )
    used = positive + negative > 0
    counts = (positive + negative)[used]
    return _Cells(total[used] / counts, positive[used], negative[used])


def _fit_logistic(cells: _Cells) -> ScoreMap:
    """Fits a straight line of log-odds, with the targets of Platt (1999)."""
    sums = cells.positive.sum(), cells.negative.sum()
    # Targets a little inside 0 and 1 keep the line finite where the kinds are apart.
    high, low = (sums[0] + 1) / (sums[0] + 2), 1 / (sums[1] + 2)
    weights = cells.positive / sums[0] / 2, cells.negative / sums[1] / 2
    towards = weights[0] * high + weights[1] * low
    total = weights[0] + weights[1]

    def loss(line: Values) -> tuple[float, Values]:
        odds = line[0] * cells.cosines + line[1]
        value = total @ np.logaddexp(0, odds) - towards @ odds
        slope = total * scipy.special.expit(odds) - towards
        return float(value), np.array([slope @ cells.cosines, slope.sum()])

    line = scipy.optimize.minimize(
        loss, np.array([1.0, 0.0]), jac=True, method="BFGS"
    ).x
    ends = np.array([-1.0, 1.0])
    return ScoreMap("logistic", ends, max(line[0], 0.0) * ends + line[1])


def _fit_isotonic(cells: _Cells) -> ScoreMap:
    """Fits any rising odds (Zadrozny and Elkan, 2002).

    Half a pair is added to either kind in each step, so that none is certain.
    """
    sums = cells.positive.sum(), cells.negative.sum()
    positive, negative = cells.positive / sums[0], cells.negative / sums[1]
    weights = positive + negative
    steps = scipy.optimize.isotonic_regression(
        positive / weights, weights=weights
    ).blocks
    counts = (
        np.add.reduceat(each, steps[:-1])
        for each in (cells.positive, cells.negative, weights, weights * cells.cosines)
    )
    own, others, weight, moment = counts
    odds = np.log((own + 0.5) / (sums[0] + 1)) - np.log((others + 0.5) / (sums[1] + 1))
    if len(odds) == 1:
        return ScoreMap("isotonic", np.array([-1.0, 1.0]), np.repeat(odds, 2))
    return ScoreMap("isotonic", moment / weight, np.maximum.accumulate(odds))


_FITS = {"isotonic": _fit_isotonic, "logistic": _fit_logistic}


def _errors(fitted: ScoreMap, cells: _Cells) -> tuple[float, float]:
    """Returns the log loss and the calibration error of cells, at even odds."""
    odds = np.interp(cells.cosines, fitted.scores, fitted.log_odds)
    return mean_errors(scipy.special.expit(odds), cells.positive, cells.negative)


def mean_errors(
    probability: Values, positive: Values, negative: Values
) -> tuple[float, float]:
    """Returns the log loss and the calibration error, both kinds counted alike.

    Args:
        probability: Of each cell, in (0, 1), `(num_cells,)`.
        positive: How many were of one class there.
        negative: How many were not.

    Returns:
        The log loss; the mean absolute difference, over bins of probability, between
        it and the share that was of one class.
    """
    own, others = positive / positive.sum() / 2, negative / negative.sum() / 2
    log_loss = -(own @ np.log(probability) + others @ np.log1p(-probability))
    bins = np.minimum((probability * _BINS).astype(int), _BINS - 1)
    gaps = np.bincount(bins, own - (own + others) * probability, _BINS)
    return float(log_loss), float(np.abs(gaps).sum())
