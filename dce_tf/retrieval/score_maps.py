"""From a cosine to the odds that two images are of one class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.optimize
import scipy.special

from dce_tf.index.calibration import EVEN
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
    everything: PairHistogram,
    folds: Sequence[tuple[PairHistogram, PairHistogram]],
    num_classes: int,
) -> tuple[ScoreMap, float, float]:
    """Fits both kinds of map, and keeps the one that holds better on other classes.

    Two questions are asked of a map, and count alike: whether a pair is of one class,
    at even odds, and whether the nearest image of a search among these classes is of
    the query's. The second is about the highest cosines, where a straight line may be
    far off although it fits the first.

    Args:
        everything: All pairs; those of one class and those of two count alike, however
            many there are of each.
        folds: For each fold the pairs of all other classes, and those of its own.
        num_classes: How many classes they are of.

    Returns:
        The map of all pairs; the log loss and the calibration error of its kind on the
        folds at even odds, each fitted without it.
    """
    scored = {}
    for method, fit in _FITS.items():
        fitted = [(fit(_cells(rest)), _cells(own)) for rest, own in folds]
        even, rare = (
            np.mean([_errors(*each, prior) for each in fitted], axis=0)
            for prior in (EVEN, EVEN / num_classes)
        )
        # Each log loss as a share of that of somebody who knows the prior alone.
        share = even[0] / _entropy(EVEN) + rare[0] / _entropy(EVEN / num_classes)
        scored[method] = share, *even
    best = min(scored, key=lambda method: float(scored[method][0]))
    _, log_loss, calibration_error = scored[best]
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


def _entropy(prior: float) -> float:
    return float(scipy.special.entr([prior, 1 - prior]).sum())


def _errors(fitted: ScoreMap, cells: _Cells, prior: float) -> tuple[float, float]:
    """Returns the log loss and the calibration error of cells, at a prior."""
    odds = np.interp(cells.cosines, fitted.scores, fitted.log_odds)
    odds += scipy.special.logit(prior)
    return mean_errors(scipy.special.expit(odds), cells.positive, cells.negative, prior)


def mean_errors(
    probability: Values, positive: Values, negative: Values, prior: float = EVEN
) -> tuple[float, float]:
    """Returns the log loss and the calibration error of probabilities.

    Args:
        probability: Of each cell, in (0, 1), `(num_cells,)`.
        positive: How many were of one class there.
        negative: How many were not.
        prior: The share that all of the first count for, 0 to 1.

    Returns:
        The log loss; the mean absolute difference, over bins of probability, between
        it and the share that was of one class.
    """
    own = prior * positive / positive.sum()
    others = (1 - prior) * negative / negative.sum()
    log_loss = -(own @ np.log(probability) + others @ np.log1p(-probability))
    bins = np.minimum((probability * _BINS).astype(int), _BINS - 1)
    gaps = np.bincount(bins, own - (own + others) * probability, _BINS)
    return float(log_loss), float(np.abs(gaps).sum())
