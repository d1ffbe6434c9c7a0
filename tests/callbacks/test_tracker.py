"""What every tracker sends, and how it goes on with a run."""

from collections.abc import Mapping
from pathlib import Path

from dce_tf.callbacks.tracker import Tracker
from dce_tf.record import EpochRecord


class Notes(Tracker):
    """A tracker that writes into a list."""

    def __init__(self, folder: Path, settings: Mapping) -> None:
        super().__init__("notes", folder, settings)
        self.sent = []

    def start(self, known: str | None) -> str:
        self.sent.append(("start", known))
        return known or "run-7"

    def send(self, numbers: Mapping[str, float], step: int) -> None:
        self.sent.append((step, dict(numbers)))

    def finish(self, scores: Mapping[str, float], step: int) -> None:
        self.sent.append(("finish", step, dict(scores)))


REPORT = {"after": {"recall@1": 0.75}, "best_epoch": 0}


def test_numbers_have_the_names_of_tensorboard(tmp_path: Path) -> None:
    notes = Notes(tmp_path, {"loss": "margin", "fold": None})
    assert notes.settings == {"loss": "margin"}
    record = EpochRecord(0, "divide", "val", {"loss": 0.5, "recall@1": 0.25})
    notes.set_params({"record": record})
    notes.on_train_begin()
    notes.on_epoch_end(0, record.logs)
    notes.on_report(REPORT)
    (_, (step, numbers), end) = notes.sent
    assert step == 1
    assert numbers["val/recall@1"] == 0.25
    assert numbers["loss/all"] == 0.5
    assert end == ("finish", 1, {"test/recall@1": 0.75})


def test_run_that_is_resumed_keeps_its_number(tmp_path: Path) -> None:
    Notes(tmp_path, {}).on_train_begin()
    again = Notes(tmp_path, {})
    again.on_train_begin()
    assert again.sent == [("start", "run-7")]


def test_report_of_a_run_whose_training_was_done_is_sent(tmp_path: Path) -> None:
    Notes(tmp_path, {}).on_train_begin()
    again = Notes(tmp_path, {})
    again.on_report(REPORT)
    assert [part[0] for part in again.sent] == ["start", "finish"]


def test_plain_keras_sends_its_logs(tmp_path: Path) -> None:
    notes = Notes(tmp_path, {})
    notes.on_epoch_end(3, {"accuracy": 0.5})
    assert notes.sent[0][0] == 4
    assert notes.sent[0][1]["accuracy"] == 0.5
