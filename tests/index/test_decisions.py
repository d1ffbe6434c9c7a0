import math

import numpy as np
import pytest

from dce_tf.index import Hit, open_collection
from dce_tf.index.decisions import Answer, calibration_of, compare, identify
from tests.index.conftest import Place, record
from tests.index.test_calibration import GIVEN

# Two classes: of a pair before anything is seen, 1 to 3 that it is of one class.
AMONG = GIVEN.for_classes(2)


def hit(name: str, score: float, label: str | None = "a") -> Hit:
    return Hit(name, score, label, {})


def test_hits_have_the_probability_of_their_score() -> None:
    hits = [hit("x", 0.5), hit("y", 0.1), hit("z", -0.5)]
    answer = Answer.of(hits, AMONG)
    assert answer.hits == hits
    odds = [math.exp(10 * each) / 3 for each in (0.5, 0.1, -0.5)]
    assert answer.probabilities == pytest.approx([each / (1 + each) for each in odds])
    assert answer.unknown is False
    assert [each["probability"] for each in answer.as_json()["hits"]] == (
        answer.probabilities
    )


@pytest.mark.parametrize(
    ("least", "names", "unknown"),
    [(None, "xy", False), (0.3, "xy", False), (0.6, "x", False), (0.999, "", True)],
)
def test_less_probable_hits_are_left_out(
    least: float | None, names: str, unknown: bool
) -> None:
    answer = Answer.of([hit("x", 0.5), hit("y", 0.1)], AMONG, least)
    assert "".join(str(each.id) for each in answer.hits) == names
    assert answer.unknown is unknown


def test_nothing_probable_is_unknown_and_shown_all_the_same() -> None:
    answer = Answer.of([hit("x", 0.1)], AMONG)
    assert answer.unknown is True
    assert len(answer.hits) == 1
    assert Answer.of([], AMONG).unknown is True


def test_an_uncalibrated_answer_has_no_probability() -> None:
    answer = Answer.of([hit("x", 0.99)], None)
    assert answer.probabilities is answer.unknown is None
    assert answer.as_json() == {
        "hits": [{"id": "x", "score": 0.99, "label": "a", "metadata": {}}]
    }


def test_classes_are_weighed_against_each_other_and_none() -> None:
    hits = [hit("x", 0.3, "b"), hit("y", 0.2, "a"), hit("z", 0.25, "b")]
    first, second = identify(hits, AMONG)
    assert (first.label, first.votes, first.score) == ("b", 2, 0.3)
    assert (second.label, second.votes) == ("a", 1)
    # Before: a quarter for each class, a half for none of them.
    weights = 0.25 * math.exp(3), 0.25 * math.exp(2)
    total = sum(weights) + 0.5
    assert first.probability == pytest.approx(weights[0] / total)
    assert second.probability == pytest.approx(weights[1] / total)


def test_an_image_without_a_label_is_a_rival() -> None:
    (alone,) = identify([hit("x", 0.3)], AMONG)
    (rivalled,) = identify([hit("x", 0.3), hit("y", 0.9, None)], AMONG)
    assert rivalled.probability < 0.01 < alone.probability
    assert identify([], AMONG) == []


def test_two_images_are_compared_at_even_odds() -> None:
    a, b = np.array([2.0, 0, 0]), np.array([0.6, 0.8, 0])
    verdict = compare(a, b, AMONG)
    assert verdict.score == pytest.approx(0.6)
    assert verdict.probability == pytest.approx(1 / (1 + math.exp(-6)))
    assert not verdict.same
    assert verdict.far == 0.001
    same = compare(a, a, AMONG)
    assert same.same
    assert same.score == 1
    with pytest.raises(ValueError, match="of one model; received 3 and 2 numbers"):
        compare(a, b[:2], AMONG)
    with pytest.raises(ValueError, match="has no direction"):
        compare(a, 0 * b, AMONG)


def test_collections_keep_what_scores_mean(place: Place) -> None:
    place.make([record("x", 0, label="a")], calibration=AMONG)
    opened = place.open()
    try:
        assert opened.calibration == AMONG
        assert calibration_of(opened) == AMONG
        opened.rebuild()
    finally:
        opened.close()
    again = place.open()
    try:
        assert again.calibration == AMONG
    finally:
        again.close()


def test_collections_that_nobody_calibrated_say_what_to_do(local: Place) -> None:
    local.make()
    opened = open_collection(local.where)
    assert opened.calibration is None
    with pytest.raises(ValueError, match=r"no probabilities: .*calibrate RUN"):
        calibration_of(opened)
    opened.close()
