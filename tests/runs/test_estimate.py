"""What is said of the rest of a run, once its first steps are measured."""

import io

import numpy as np
import pytest
from rich.console import Console

from dce_tf.config import Config
from dce_tf.datasets import Images, Search, Splits
from dce_tf.record import EpochRecord
from dce_tf.reports.display import Display
from dce_tf.runs.estimate import Estimate, build_estimate
from dce_tf.training.schedule import Schedule


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    return now


@pytest.fixture
def display() -> Display:
    return Display(Console(file=io.StringIO(), soft_wrap=True))


def printed(display: Display) -> list[str]:
    assert isinstance(display.console.file, io.StringIO)
    return display.console.file.getvalue().splitlines()


def images(number: int) -> Images:
    return Images(("x",) * number, np.zeros(number, np.int32), ("a",))


def built(display: Display, history: list[dict], **settings: object) -> Estimate:
    test = Search("test", images(300), images(100))
    splits = Splits(images(9), images(100), (test,))
    config = Config(**settings)
    schedule = Schedule(num_epochs=10, full_embedding_epoch=4, finetune_epoch=6)
    return build_estimate(config, schedule, splits, history, display)


def train(
    estimate: Estimate, clock: list[float], epoch: int, calls: list[int], first: int = 0
) -> None:
    """Lets an epoch of 100 steps pass: one second each, and 50 more to compile."""
    record = EpochRecord(epoch, "divide")
    record.logs.update(seconds_features=8.0, seconds_kmeans=2.0, seconds_division=0.0)
    estimate.set_params({"epochs": 10, "steps": 100, "record": record})
    estimate.on_epoch_begin(epoch, {})
    done = first
    for number, steps in enumerate(calls):
        estimate.on_train_batch_begin(done, {})
        clock[0] += steps + (50 if number == 0 else 0)
        done += steps
        estimate.on_train_batch_end(done - 1, {})


UNTRAINED = {"epoch": -1, "seconds_evaluate": 50.0}


def test_it_is_told_once_after_twenty_steps(
    display: Display, clock: list[float]
) -> None:
    estimate = built(display, [UNTRAINED])
    train(estimate, clock, 0, [1, 10, 9])
    assert printed(display) == []
    train(estimate, clock, 4, [2])  # Of the whole embedding: it compiles again.
    assert printed(display) == []
    train(estimate, clock, 5, [2, 10, 20])
    (line,) = printed(display)
    assert line.startswith("Training has about ")
    assert "left, all epochs together: an estimate, from" in line
    assert line.endswith(" GB of memory so far.")


def test_parts_of_the_rest_are_added_up(display: Display, clock: list[float]) -> None:
    estimate = built(display, [UNTRAINED])
    train(estimate, clock, 0, [1, 20])
    (line,) = printed(display)
    # 1,000 steps but 21 at 1 s, ten evaluations of a fifth of 50 s (100 of the 500
    # images), and divisions of 10 s before the epochs 2 and 4.
    assert "about 18 min 19 s left" in line
    assert "from 1 s per step" in line


def test_a_run_that_goes_on_tells_what_is_left(
    display: Display, clock: list[float]
) -> None:
    history = [UNTRAINED, {"epoch": 7, "seconds_evaluate": 3.0}]
    estimate = built(display, history, evaluate_every=5)
    train(estimate, clock, 8, [1, 20], first=60)
    (line,) = printed(display)
    # 200 steps but 81, and one evaluation, after the last epoch, of 3 s.
    assert "about 2 min 02 s left" in line


def test_scores_on_the_test_cost_what_they_cost_before(
    display: Display, clock: list[float]
) -> None:
    estimate = built(display, [UNTRAINED], select_on="test", evaluate_every=10)
    train(estimate, clock, 6, [1, 20])
    (line,) = printed(display)
    assert "about 7 min 09 s left" in line  # 400 steps but 21, and one of 50 s.


def test_of_a_short_rest_nothing_is_said(display: Display, clock: list[float]) -> None:
    estimate = built(display, [{"epoch": 8, "seconds_evaluate": 1.0}])
    train(estimate, clock, 9, [1, 20], first=60)
    assert printed(display) == []


def headed(display: Display, history: list[dict]) -> Estimate:
    test = Search("test", images(300), images(100))
    splits = Splits(images(9), images(100), (test,))
    schedule = Schedule(10, 6, 8, recluster_every=2, head_epochs=2)
    return build_estimate(Config(), schedule, splits, history, display)


def test_the_head_tells_nothing_of_the_rest(
    display: Display, clock: list[float]
) -> None:
    head = {
        "epoch": 1,
        "stage": "head",
        "seconds_division": 30.0,
        "seconds_evaluate": 0.1,
    }
    estimate = headed(display, [UNTRAINED, head])
    train(estimate, clock, 1, [1, 40])
    assert printed(display) == []
    train(estimate, clock, 2, [1, 20])
    (line,) = printed(display)
    # 800 steps but 21 at 1 s, eight evaluations of 10 s, as before training, and
    # divisions before the epochs 4 and 6 of 10 s and the 30 s that the head took for
    # features which the first division found there.
    assert "about 15 min 39 s left" in line
