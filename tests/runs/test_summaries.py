"""The numbers of an epoch as TensorBoard finds them."""

from pathlib import Path
from types import SimpleNamespace

import keras
import pytest

from dce_tf.config import Config
from dce_tf.record import EpochRecord
from dce_tf.record.run_directory import RunDirectory
from dce_tf.runs.summaries import Summaries
from tests.reports.test_tensorboard import events


@pytest.fixture
def found(tmp_path: Path) -> dict:
    config = Config(backbone_lr=1e-3, embedding_lr=1e-2)
    summaries = Summaries(RunDirectory(tmp_path), config)
    optimizer = keras.optimizers.SGD(0.5)
    summaries.set_model(SimpleNamespace(optimizer=optimizer))
    summaries.write_settings()
    summaries.write_epoch(EpochRecord(-1, "untrained", "val", {"recall@1": 0.25}))
    record = EpochRecord(0, "divide", "val", {"loss": 0.5, "mine": 2})
    record.logs.update({"recall@1": 0.5, "map": 0.25, "f1": 0.125, "map@10": 0.75})
    record.lists["learner_losses"] = [0.25, None]
    summaries.set_params({"record": record})
    summaries.on_epoch_end(0, record.logs)
    summaries.close()
    return events(tmp_path / "tensorboard")


def test_scores_stand_under_their_split(found: dict) -> None:
    curve = [(step, float(value)) for step, _, value in found["val/recall@1"]]
    assert curve == [(0, 0.25), (1, 0.5)]
    for key in ("map", "f1", "map@10"):
        assert f"val/{key}" in found
        assert key not in found


def test_losses_and_own_numbers_are_there(found: dict) -> None:
    assert {"loss/all", "loss/learner_0", "mine", "settings"} <= set(found)
    assert "loss/learner_1" not in found


def test_rates_are_those_of_the_groups(found: dict) -> None:
    for part, rate in (("backbone", 5e-4), ("embedding", 5e-3)):
        ((step, _, value),) = found[f"learning_rate/{part}"]
        assert (step, float(value)) == (1, pytest.approx(rate))


def test_stage_is_named_where_it_begins_and_the_resting_backbone_has_no_rate(
    tmp_path: Path,
) -> None:
    summaries = Summaries(RunDirectory(tmp_path), Config())
    summaries.set_model(SimpleNamespace(optimizer=keras.optimizers.SGD(0.5)))
    for epoch, stage in enumerate(["head", "head", "divide"]):
        summaries.set_params({"record": EpochRecord(epoch, stage, "val", {})})
        summaries.on_epoch_end(epoch, {})
    summaries.close()
    found = events(tmp_path / "tensorboard")
    stages = [(step, value.item().decode()) for step, _, value in found["stage"]]
    assert stages == [(1, "head"), (3, "divide")]
    rates = [float(value) for _, _, value in found["learning_rate/backbone"]]
    assert rates[:2] == [0, 0]
    assert rates[2] > 0
