"""A threshold and a probability, learned on classes that nobody trained on."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from dce_tf.datasets import Images, Search
from dce_tf.index.calibration import Calibration
from dce_tf.retrieval.pair_histogram import (
    PairHistogram,
    count_by_class,
    count_pairs,
    threshold_at,
)
from dce_tf.retrieval.pair_tiles import STEPS, PairSet
from dce_tf.retrieval.score_maps import fit_score_map
from dce_tf.retrieval.vectors import Numbers
from dce_tf.retrieval.verification import FARS, FEWEST_FALSE_ACCEPTS, Roc

MARGIN = 1.5
"""By which factor the rate that is met may differ from the one that is promised."""

_NINE_IN_TEN = 1.645  # Standard errors on either side.
_FOLDS = 5
FEWEST_CLASSES = 2 * _FOLDS
"""Classes of two images or more, not trained on, that calibrating takes."""
_MOST_IMAGES = 20_000


@dataclasses.dataclass(frozen=True)
class Threshold:
    """A cosine for a rate of false accepts, and how well it is known.

    Attributes:
        far: The rate that was asked for.
        point: The grid point.
        error: Standard error of the logarithm of the rate, over classes; ∞ where it
            cannot be told.
        num_classes: How many classes that is from.
    """

    far: float
    point: int
    error: float
    num_classes: int

    @property
    def factor(self) -> float:
        """By which factor the rate may be off, in 9 of 10 cases."""
        return math.exp(min(_NINE_IN_TEN * self.error, 700))

    @property
    def is_carried(self) -> bool:
        """Whether that is within `MARGIN`."""
        return self.factor <= MARGIN

    @property
    def num_needed(self) -> int:
        """About how many classes would bring it within `MARGIN`."""
        ratio = _NINE_IN_TEN * self.error / math.log(MARGIN)
        return math.ceil(self.num_classes * ratio**2)


def calibrate(
    images: Images,
    embeddings: Numbers,
    *,
    fingerprint: str,
    far: float | None = None,
    exclude: str = "none",
    seed: int = 0,
) -> Calibration:
    """Learns what the cosines of a model mean, from classes it was not trained on.

    Args:
        images: Of those classes.
        embeddings: Real numbers `(num_images, dim)`.
        fingerprint: Which model made them.
        far: The share of pairs of two classes that may be accepted; by default the
            lowest of 0.1, 0.01, … that these classes carry.
        exclude: Which pairs do not count: see `score_search`.
        seed: Decides which classes are folds together, and which are taken where there
            are more than 20,000 images.

    Raises:
        ValueError: If there are too few classes or pairs; it says how many are needed.
    """
    search = Search("validation", images, images)
    if len(images) > _MOST_IMAGES:
        few = search.of_classes(_MOST_IMAGES, seed)
        kept = np.flatnonzero(np.isin(images.labels, few.query.labels))
        search, embeddings = few, embeddings[kept]
    _check_classes(search.query)
    pairs = PairSet(search, embeddings, embeddings, exclude=exclude, seed=seed)
    histogram = count_pairs(pairs)
    threshold = _choose(Roc.of(histogram), pairs, far)
    folds = _count_folds(search.query, embeddings, exclude, seed)
    fitted, log_loss, error = fit_score_map(histogram, folds, threshold.num_classes)
    return Calibration(
        fingerprint=fingerprint,
        far=threshold.far,
        far_interval=(
            threshold.far / threshold.factor,
            min(1.0, threshold.far * threshold.factor),
        ),
        threshold=float(threshold_at(threshold.point)),
        method=fitted.method,
        scores=tuple(fitted.scores.tolist()),
        log_odds=tuple(fitted.log_odds.tolist()),
        num_classes=threshold.num_classes,
        num_images=len(search.query),
        log_loss=log_loss,
        calibration_error=error,
    )


def _check_classes(images: Images) -> None:
    sizes = np.bincount(images.labels)
    number = int(np.count_nonzero(sizes > 1))
    if number < FEWEST_CLASSES:
        raise ValueError(
            f"Too few classes to calibrate on: found {number} of two images or more "
            f"that were not trained on; expected {FEWEST_CLASSES} or more. Train with "
            "a larger --val_fraction."
        )


def _choose(roc: Roc, pairs: PairSet, far: float | None) -> Threshold:
    tried = [_measure(each, roc, pairs) for each in (FARS if far is None else [far])]
    carried = [each for each in tried if each.is_carried]
    if carried:
        return carried[-1]
    raise ValueError(_refusal(tried[0], roc, pairs))


def _measure(far: float, roc: Roc, pairs: PairSet) -> Threshold:
    """Measures how much a rate differs from one draw of classes to another.

    By leaving out each class in turn (the jackknife): pairs share their classes, so
    that their number says little.
    """
    point = roc.point_at(far)
    num_classes = len(np.unique(pairs.search.query.labels))
    if not roc.is_carried(far) or point > STEPS:
        return Threshold(far, point, math.inf, num_classes)
    counts = count_by_class(pairs, np.array([point]))
    # A class is at either end of its pairs, and each end is counted.
    accepted = counts.negative.sum() - 2 * counts.negative[:, 0]
    without = accepted / (counts.num_negative.sum() - 2 * counts.num_negative)
    used = without[counts.num_negative > 0]
    spread = np.square(used - used.mean()).sum() * (len(used) - 1) / len(used)
    error = math.sqrt(spread) / float(roc.far[point])
    return Threshold(far, point, error, num_classes)


def _refusal(threshold: Threshold, roc: Roc, pairs: PairSet) -> str:
    far, number = threshold.far, threshold.num_classes
    if math.isinf(threshold.error):
        return (
            f"A false accept rate of {far:g} cannot be measured: found "
            f"{roc.num_negative:,} pairs of two classes, expected "
            f"{FEWEST_FALSE_ACCEPTS / far:,.0f} or more whose cosines differ. Ask for "
            "a higher --far, or train with a larger --val_fraction."
        )
    others = [_measure(each, roc, pairs) for each in FARS if each > far]
    carried = [f"{each.far:g}" for each in others if each.is_carried]
    remedy = f"--far={carried[-1]} is carried; or train" if carried else "Train"
    return (
        f"{number} classes do not carry a false accept rate of {far:g}: on other "
        f"classes it would be off by a factor of up to {threshold.factor:.1f}, in 9 of "
        f"10 cases; expected {MARGIN:g} at most, which takes about "
        f"{threshold.num_needed} classes that were not trained on. {remedy} with a "
        "larger --val_fraction."
    )


def _count_folds(
    images: Images, embeddings: Numbers, exclude: str, seed: int
) -> Sequence[tuple[PairHistogram, PairHistogram]]:
    """Counts, for each fold of classes, the pairs of all others and its own."""
    sizes = images.class_counts
    order = np.random.default_rng(seed).permutation(len(sizes))
    # Classes with pairs of their own first, so that each fold has some.
    order = order[np.argsort(sizes[order] < 2, kind="stable")]
    fold_of = np.empty(len(sizes), np.int64)
    fold_of[order] = np.arange(len(sizes)) % _FOLDS
    own_fold = fold_of[images.labels]

    def count(rows: np.ndarray) -> PairHistogram:
        part = images.keep(np.flatnonzero(rows))
        vectors = embeddings[rows]
        return count_pairs(
            PairSet(Search("fold", part, part), vectors, vectors, exclude=exclude)
        )

    return [
        (count(own_fold != fold), count(own_fold == fold)) for fold in range(_FOLDS)
    ]
