"""What the terminal shows of a task."""

import io

import pytest
from rich.console import Console

from dce_tf.training.display import LINE_SECONDS, Display, ProgressBar


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
    bar.set_params({"epochs": 4})
    logs = {"steps": 100, "images_per_second": 8.0, "loss": 1.0}
    bar.on_epoch_begin(1, {"stage": "divide"})
    bar.on_train_batch_end(79, logs)
    clock[0] += LINE_SECONDS
    bar.on_train_batch_end(89, logs)
    bar.on_epoch_end(1, {})
    (line,) = printed(display)
    assert line == "epoch 2/4 divide  90/100  loss 1.0000  8 images/s  30 s left"
