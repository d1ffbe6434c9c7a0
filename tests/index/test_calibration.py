import dataclasses
import math

import numpy as np
import pytest

from dce_tf.index.calibration import Calibration

GIVEN = Calibration(
    fingerprint="model",
    far=0.001,
    far_interval=(0.0008, 0.0013),
    threshold=0.7,
    method="logistic",
    scores=(-1.0, 1.0),
    log_odds=(-10.0, 10.0),
    num_classes=300,
    num_images=2000,
    log_loss=0.2,
    calibration_error=0.01,
)


def test_probability_by_hand() -> None:
    assert GIVEN.probability([0.0, 0.1]).tolist() == pytest.approx(
        [0.5, 1 / (1 + math.exp(-1))]
    )
    # Of 4 classes or none, none as probable as all: 1 in 8 before, odds of 1 to 7.
    among = GIVEN.for_classes(4)
    assert among.probability(0.0) == pytest.approx(1 / 8)
    assert among.probability(math.log(7) / 10) == pytest.approx(0.5)
    # Beyond the last score nothing is known, and nothing is added.
    assert GIVEN.probability(1.0001) == GIVEN.probability(1.0)


def test_images_without_label_are_of_classes_as_large_as_those_it_learned_on() -> None:
    # It learned on 300 classes of 2,000 images, so 40 are of 6.
    assert GIVEN.for_images(3, 40) == GIVEN.for_classes(9)
    assert GIVEN.for_images(3, 41) == GIVEN.for_classes(10)
    assert GIVEN.for_images(0, 1) == GIVEN.for_images(0, 0) == GIVEN.for_classes(1)


def test_json_gives_the_same_back() -> None:
    assert Calibration.from_json(GIVEN.as_json(), "file") == GIVEN


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"far": 0}, "'far' is 0"),
        ({"threshold": math.nan}, "'threshold' is nan"),
        ({"threshold": "0.7"}, "'threshold' is 0.7"),
        ({"method": "guess"}, "'method' is guess"),
        ({"scores": [0.0]}, "equally many"),
        ({"scores": [1.0, -1.0]}, "must rise"),
        ({"log_odds": [3.0, 1.0]}, "not fall"),
        ({"num_classes": True}, "'num_classes' is True"),
        ({"prior": 1.0}, "'prior' is 1.0"),
        ({"more": 1}, "nobody knows its 'more'"),
    ],
)
def test_damage_is_named(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=f"file holds no calibration: .*{message}"):
        Calibration.from_json({**GIVEN.as_json(), **change}, "file")


@pytest.mark.parametrize("name", [each.name for each in dataclasses.fields(GIVEN)])
def test_every_value_must_be_there(name: str) -> None:
    values = GIVEN.as_json()
    del values[name]
    with pytest.raises(ValueError, match=f"it has no '{name}'"):
        Calibration.from_json(values, "file")


@pytest.mark.parametrize("values", [None, [], "text", 3])
def test_what_is_no_object_is_refused(values: object) -> None:
    with pytest.raises(ValueError, match="expected an object"):
        Calibration.from_json(values, "file")


def test_probabilities_rise_with_scores() -> None:
    found = GIVEN.for_classes(1000).probability(np.linspace(-1, 1, 100))
    assert np.all(np.diff(found) > 0)
    assert found[0] > 0
    assert found[-1] < 1
