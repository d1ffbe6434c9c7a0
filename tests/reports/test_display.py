"""What the terminal shows of a task."""

import io

import pytest
from rich.console import Console

from dce_tf.record import EpochRecord
from dce_tf.reports.display import LINE_SECONDS, Display
from dce_tf.reports.epoch_lines import EpochLines, ProgressBar


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


@pytest.fixture
def display() -> Display:
    return Display(Console(file=io.StringIO(), soft_wrap=True))


def printed(display: Display) -> list[str]:
    assert isinstance(display.console.file, io.StringIO)
    return display.console.file.getvalue().splitlines()


def test_lines_are_rare_and_tell_the_time_left(
    display: Display, clock: list[float]
) -> None:
    with display.task("scan", 100) as update:
        update(1, "")
        clock[0] += LINE_SECONDS
        update(20, "fast")
        clock[0] += LINE_SECONDS / 2
        update(30, "soon after")
        clock[0] += LINE_SECONDS
        update(100, "at the end")
    assert printed(display) == ["scan  20/100  fast  2 min 00 s left"]


def test_what_was_done_before_took_no_time(
    display: Display, clock: list[float]
) -> None:
    with display.task("embedding", 100, done=80) as update:
        clock[0] += LINE_SECONDS
        update(90, "")
    assert printed(display) == ["embedding  90/100    30 s left"]


def test_a_bar_is_as_full_as_what_was_done_before() -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=80, color_system=None)
    with Display(console).task("embedding", 100, done=80):
        pass
    assert "80/100" in file.getvalue()


def test_an_epoch_that_goes_on_tells_the_time_left(
    display: Display, clock: list[float]
) -> None:
    bar = ProgressBar(display)
    record = EpochRecord(1, "divide")
    bar.set_params({"epochs": 4, "steps": 100, "record": record})
    logs = {"images_per_second": 8.0, "loss": 1.0}
    bar.on_epoch_begin(1, {})
    bar.on_train_batch_end(79, logs)
    clock[0] += LINE_SECONDS
    bar.on_train_batch_end(89, logs)
    bar.on_epoch_end(1, {})
    (line,) = printed(display)
    assert line == "epoch 2/4 divide  90/100  loss 1.0000  8 images/s  30 s left"


def test_line_of_an_epoch_has_the_values_that_the_table_shows(
    display: Display,
) -> None:
    lines = EpochLines(display)
    record = EpochRecord(2, "divide", "val")
    record.lists["cluster_sizes"] = [3, 5]
    record.logs.update(
        {"images_per_second": 8.2, "seconds_step": 100.0, "seconds_data": 25.0}
    )
    record.logs.update({"kept": 0.934, "map@r": 0.25, "recall@1": 0.5, "recall@8": 0.9})
    record.logs.update({"loss": 0.41, "mine": 1.0})
    lines.set_params({"epochs": 4, "record": record})
    lines.on_epoch_end(2, record.logs)
    assert printed(display) == [
        "epoch 3/4 divide  loss 0.4100  recall@1 0.5000  map@r 0.2500 (val)  "
        "kept 93%  8 images/s  2 min 05 s"
    ]


def test_line_of_an_epoch_of_plain_keras_has_its_numbers(display: Display) -> None:
    lines = EpochLines(display)
    lines.set_params({"epochs": 4})
    lines.on_epoch_end(0, {"loss": 0.5})
    assert printed(display) == ["epoch 1/4  loss 0.5000"]
