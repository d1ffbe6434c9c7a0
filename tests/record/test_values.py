import numpy as np
import pytest

from dce_tf.record import (
    PARTS,
    SELECTED_BY,
    VALUES,
    format_seconds,
    format_value,
    tag_of,
    value_of,
)
from dce_tf.retrieval import evaluate_retrieval
from dce_tf.retrieval.grouping import SCORES


def test_every_key_is_declared_once() -> None:
    keys = [value.key for value in VALUES]
    assert len(set(keys)) == len(keys)
    assert all(value.meaning for value in VALUES)


def test_every_metric_of_an_evaluation_is_a_score_of_the_split() -> None:
    x = np.eye(4, dtype=np.float32)
    labels = np.array([0, 0, 1, 1], np.int32)
    metrics = evaluate_retrieval(x, labels, x, labels, leave_one_out=True)
    for key in [*metrics, *SCORES]:
        assert value_of(key).unit == "score", key
        assert tag_of(key, "val") == f"val/{key}"
        assert tag_of(key, "test") == f"test/{key}"


@pytest.mark.parametrize(
    ("key", "tag"),
    [
        ("loss", "loss/all"),
        ("kept", "division/kept"),
        ("division_nmi", "division/division_nmi"),
        ("images_per_second", "time/images_per_second"),
        ("seconds_data", "time/seconds_data"),
        ("seconds", "time/seconds"),
        ("my_score", "my_score"),
        ("mine/score", "mine/score"),
        ("seconds_of_mine", "seconds_of_mine"),
    ],
)
def test_tags_are_grouped(key: str, tag: str) -> None:
    assert tag_of(key, "val") == tag


def test_lists_have_a_tag_per_part() -> None:
    assert tag_of("learner_losses", part=3) == "loss/learner_3"
    assert tag_of("cluster_sizes", part=0) == "cluster_size/cluster_0"


def test_score_without_a_split_has_no_empty_group() -> None:
    assert tag_of("recall@1") == "recall@1"


def test_numbers_are_shown_in_their_unit() -> None:
    assert format_value("recall@1", 0.63) == "0.6300"
    assert format_value("kept", 0.934) == "93%"
    assert format_value("images_per_second", 8.4) == "8 images/s"
    assert format_value("lone_images", 12) == "12"
    assert format_value("seconds_step", 65.2) == "1 min 05 s"
    assert format_value("my_score", 0.5) == "0.5000"
    assert format_seconds(3720) == "1 h 02 min"


def test_best_epoch_is_told_by_scores_of_the_table() -> None:
    assert all(value_of(key).of_split for key in SELECTED_BY)
    assert all(value.key.startswith("seconds_") for value in PARTS)
