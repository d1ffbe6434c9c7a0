"""What evaluation says of thresholds: is it the same, and is it known at all?"""

from __future__ import annotations

from typing import Any

import numpy as np

from dce_tf.evaluation.evaluator import Evaluation
from dce_tf.retrieval.identification import find_nearest_pairs
from dce_tf.retrieval.pair_histogram import count_by_class, count_pairs, threshold_at
from dce_tf.retrieval.pair_tiles import STEPS, PairSet
from dce_tf.retrieval.verification import (
    FARS,
    FEWEST_FALSE_ACCEPTS,
    OPIS_RANGE,
    Roc,
    describe_uncarried,
    opis,
    opis_points,
)

_CURVE_POINTS = 200


def score_verification(
    evaluation: Evaluation, *, exclude: str = "none", seed: int = 0
) -> dict[str, Any]:
    """Scores the question whether two images show the same, on all pairs of a test.

    Args:
        evaluation: The test, embedded.
        exclude: Which pairs do not count: see `retrieval.score_search`.
        seed: Decides the galleries of a protocol that draws them.

    Returns:
        JSON values: `positive_pairs` and `negative_pairs`; `auc`; `eer`; `tar_at_far`,
        for each rate `threshold` (a cosine), `tar` and `far`, or None where the pairs
        do not carry it; `opis` with its `opis_range`, or None; `roc`, the curve as rows
        of cosine, FAR and TAR; `notes`.

    Raises:
        ValueError: If there is no pair of one class, or none of two.
    """
    pairs = PairSet(
        evaluation.search,
        evaluation.query,
        evaluation.gallery,
        exclude=exclude,
        seed=seed,
    )
    roc = Roc.of(count_pairs(pairs))
    points = opis_points(roc)
    uncarried = describe_uncarried(roc, FARS)
    return {
        "positive_pairs": roc.num_positive,
        "negative_pairs": roc.num_negative,
        "auc": roc.area,
        "eer": roc.equal_error_rate,
        "tar_at_far": {f"{far:g}": roc.at(far) for far in FARS},
        "opis": None if points is None else opis(count_by_class(pairs, points)),
        "opis_range": list(OPIS_RANGE),
        "roc": _curve(roc),
        "notes": [uncarried] if uncarried else [],
    }


def _curve(roc: Roc) -> list[list[float]]:
    """Returns rows of threshold, FAR and TAR, evenly spaced on the scale of log FAR."""
    wanted = np.geomspace(1, max(1 / roc.num_negative, 1e-9), _CURVE_POINTS)
    points = dict.fromkeys(min(roc.point_at(far), STEPS) for far in wanted)
    return [
        [float(threshold_at(point)), float(roc.far[point]), float(roc.tar[point])]
        for point in points
    ]


def score_identification(
    evaluation: Evaluation, *, exclude: str = "none", seed: int = 0
) -> dict[str, Any]:
    """Scores answers of which "unknown" is one, on any test.

    Args:
        evaluation: The test, embedded.
        exclude: What a query is not to find: see `retrieval.score_search`.
        seed: Decides the galleries of a protocol that draws them.

    Returns:
        JSON values: `queries`; `dir_at_far`, for each rate `threshold` (a cosine),
        `dir` and `interval` (95 %, over classes), or None where the queries do not
        carry it; `notes`.

    Raises:
        ValueError: If no query has its class in the gallery, or there is one class.
    """
    found = find_nearest_pairs(
        evaluation.search,
        evaluation.query,
        evaluation.gallery,
        exclude=exclude,
        seed=seed,
    )
    number = len(found.labels)
    rates: dict[str, Any] = {}
    for far in FARS:
        rates[f"{far:g}"] = None
        if far * number >= FEWEST_FALSE_ACCEPTS:
            threshold, rate, interval = found.rate_at(far)
            rates[f"{far:g}"] = {
                "threshold": threshold,
                "dir": rate,
                "interval": list(interval),
            }
    missing = [far for far, rate in rates.items() if rate is None]
    note = (
        f"{number:,} queries do not carry a share of {' or '.join(missing)} of unknown "
        f"images accepted: each needs {FEWEST_FALSE_ACCEPTS} of them."
    )
    return {"queries": number, "dir_at_far": rates, "notes": [note] if missing else []}
