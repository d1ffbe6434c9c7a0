import json

import keras
import pytest

from dce_tf.record import EpochRecord, record_of


def record() -> EpochRecord:
    made = EpochRecord(3, "divide", "val")
    made.logs.update({"loss": 0.5, "recall@1": 0.25, "mine": 2})
    made.logs.update({"seconds_data": 1.0, "seconds_step": 2.0, "seconds_of_mine": 9})
    made.lists["learner_losses"] = [0.25, None]
    made.lists["cluster_sizes"] = [3, 5]
    return made


def test_line_has_what_the_contract_names() -> None:
    line = record().as_line()
    assert list(line)[:3] == ["epoch", "stage", "evaluated_on"]
    assert (line["epoch"], line["stage"], line["evaluated_on"]) == (3, "divide", "val")
    assert (line["loss"], line["recall@1"], line["mine"]) == (0.5, 0.25, 2)
    assert line["learner_losses"] == [0.25, None]
    assert line["cluster_sizes"] == [3, 5]


def test_seconds_are_the_sum_of_the_declared_parts() -> None:
    assert record().as_line()["seconds"] == 3


def test_epoch_without_a_score_names_no_split() -> None:
    assert "evaluated_on" not in EpochRecord(0, "divide").as_line()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_line_is_strict_json_whatever_was_logged(value: float) -> None:
    made = record()
    made.logs["mine"] = value
    text = json.dumps(made.as_line(), allow_nan=False)
    assert json.loads(text)["mine"] is None


def test_record_is_read_from_its_line() -> None:
    line = json.loads(json.dumps(record().as_line()))
    assert EpochRecord.of_line(line) == record()


def test_line_of_an_earlier_version_is_read() -> None:
    # Null stood for what a first division has not, and the seconds were a number.
    line = {"epoch": -1, "evaluated_on": "val", "recall@1": 0.5, "kept": None}
    made = EpochRecord.of_line({**line, "seconds": 4.0})
    assert made.logs == {"recall@1": 0.5}
    assert (made.epoch, made.stage, made.evaluated_on) == (-1, "", "val")


def test_scalars_have_the_split_and_the_part_in_their_tag() -> None:
    scalars = record().scalars()
    assert scalars["val/recall@1"] == 0.25
    assert scalars["loss/all"] == 0.5
    assert scalars["loss/learner_0"] == 0.25
    assert "loss/learner_1" not in scalars
    assert scalars["cluster_size/cluster_1"] == 5
    assert scalars["time/seconds"] == 3
    assert scalars["mine"] == 2


def test_callback_outside_our_trainer_has_no_record() -> None:
    callback = keras.callbacks.Callback()
    assert record_of(callback) is None
    callback.set_params({"epochs": 3})
    assert record_of(callback) is None
