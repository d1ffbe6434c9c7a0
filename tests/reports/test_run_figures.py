"""Runs beside each other."""

import numpy as np
import pytest
from scipy import stats

from dce_tf.record import PARTS
from dce_tf.reports.run_figures import (
    draw_curves,
    draw_masks,
    draw_sizes,
    draw_times,
    mean_and_reach,
)


def test_interval_is_students() -> None:
    values = np.random.default_rng(0).normal(size=(5, 3))
    mean, reach = mean_and_reach(values)
    for column in range(3):
        own = values[:, column]
        low, high = stats.t.interval(0.95, 4, own.mean(), stats.sem(own))
        assert mean[column] - reach[column] == pytest.approx(low)
        assert mean[column] + reach[column] == pytest.approx(high)
    assert mean_and_reach(values[:1])[1].tolist() == [0, 0, 0]


def test_curves_are_of_the_epochs_that_all_runs_of_a_group_have() -> None:
    runs = [
        [{"epoch": n, "recall@1": score} for n, score in enumerate(scores, -1)]
        for scores in ((0.1, 0.5, 0.7, 0.9), (0.3, None, 0.9))
    ]
    axes = draw_curves({"two": runs, "one": runs[:1]}, "recall@1").axes[0]
    two, one = axes.lines
    assert two.get_xdata().tolist() == [0, 2]
    assert two.get_ydata() == pytest.approx([0.2, 0.8])
    assert one.get_xdata().tolist() == [0, 1, 2, 3]
    low, high = axes.collections[0].get_datalim(axes.transData).intervaly
    assert low >= 0
    assert high <= 1


def test_times_add_up() -> None:
    own = {part.key: 1.0 for part in PARTS}
    axes = draw_times({"a": own, "b": {}}).axes[0]
    widths = [bar.get_width() for bar in axes.patches]
    assert sum(widths) == len(PARTS)


def test_masks_and_sizes_are_drawn_as_they_are() -> None:
    masks = np.array([[0.0, 1.0], [2.0, 0.5]])
    image = draw_masks(masks).axes[0].images[0]
    np.testing.assert_array_equal(image.get_array(), masks)
    lines = [
        {"kind": kind, "bytes": size, "recall@1": score}
        for kind, size, score in (
            ("float32", 512, 0.9),
            ("float32", 256, 0.8),
            ("binary", 16, 0.5),
        )
    ]
    drawn = {line.get_label(): line for line in draw_sizes(lines).axes[0].lines}
    assert drawn["float32"].get_xdata().tolist() == [512, 256]
    assert drawn["binary"].get_ydata().tolist() == [0.5]
