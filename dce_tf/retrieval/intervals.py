"""How far a score could lie from that of other classes of the same kind."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dce_tf.retrieval.metrics import Labels, Values

Interval = tuple[float, float]

_DRAWS_AT_ONCE = 50


def bootstrap_intervals(
    values: Mapping[str, Values],
    labels: Labels,
    *,
    num_draws: int = 1000,
    seed: int = 0,
) -> dict[str, Interval]:
    """Returns the 95 % interval of each mean, by resampling classes.

    Queries of one class are alike, so that resampling them one by one would make the
    interval too narrow: whole classes are drawn, with replacement, and the 2.5 % and
    97.5 % quantiles of the means taken (Efron and Tibshirani 1993; Cameron, Gelbach and
    Miller 2008 on clusters).

    Args:
        values: Score of each query, `(num_queries,)`, by metric.
        labels: Class of each query, int32 `(num_queries,)`.
        num_draws: How often to draw.
        seed: The same seed draws the same classes.

    Returns:
        Lower and upper end, by metric.
    """
    classes = np.unique(labels, return_inverse=True)[1]
    counts = np.bincount(classes)
    sums = np.stack(
        [np.bincount(classes, value, len(counts)) for value in values.values()], axis=1
    )
    rng = np.random.default_rng(seed)
    means = []
    for start in range(0, num_draws, _DRAWS_AT_ONCE):
        draws = min(_DRAWS_AT_ONCE, num_draws - start)
        drawn = rng.integers(len(counts), size=(draws, len(counts)))
        drawn += np.arange(draws)[:, None] * len(counts)
        times = np.bincount(drawn.ravel(), minlength=draws * len(counts))
        times = times.reshape(draws, len(counts)).astype(float)
        means.append(times @ sums / (times @ counts)[:, None])
    low, high = np.quantile(np.concatenate(means), (0.025, 0.975), axis=0)
    return {name: (float(low[i]), float(high[i])) for i, name in enumerate(values)}
