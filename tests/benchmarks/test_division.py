import re

import numpy as np
import pytest

from benchmarks import division
from dce_tf.clustering import fit_kmeans
from dce_tf.clustering.points import unit_length
from dce_tf.clustering.trainable import merge_untrainable


def test_ways_to_cluster_reach_about_the_same_objective() -> None:
    features, _ = division.draw_features(400, 40, 8)
    ways = division.kmeans_ways(unit_length(features), 4, 20)
    reached = {name: way() for name, way in ways.items()}
    assert len(reached) == 4, "scikit-learn is in requirements-dev.txt"
    assert max(reached.values()) < 1.2 * min(reached.values())


def test_both_kinds_of_bookkeeping_run() -> None:
    features, labels = division.draw_features(300, 30, 8)
    points = unit_length(features)
    result, before = fit_kmeans(points, 3), fit_kmeans(points, 3, seed=1).assignment
    membership = merge_untrainable(result.assignment, labels, result.centroids)
    parts = division.our_parts(points, labels, before, result)
    theirs = division.their_parts(labels, before, membership, 3)
    for part in {**parts, **theirs}.values():
        part()
    assert {f"{division.THEIRS} {name}" for name in parts} > set(theirs)
    batches = [batch for own in theirs["2019's rows of an epoch"]() for batch in own]
    assert np.shape(batches)[1] == division.BATCH_SIZE
    assert np.max(batches) < len(labels)


@pytest.mark.slow
def test_pipeline_is_rebuilt(capsys: pytest.CaptureFixture[str]) -> None:
    labels = np.arange(160, dtype=np.int32) // 4
    build = division.rebuild(labels, labels % 2, 2)
    build()
    division.print_growth(build, 3)
    assert re.match(r"3 more .* left [+-]\d+ MB, \+0 handles", capsys.readouterr().out)
