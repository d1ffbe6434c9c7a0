import importlib
import threading

import pytest

from benchmarks.start import __main__ as start
from benchmarks.start import child


@pytest.mark.parametrize("module", [*child.WATCHED, child.STEPS[0]])
def test_what_is_watched_is_there(module: str) -> None:
    names = child.WATCHED.get(module, {child.STEPS[1]: ""})
    for name in names:
        found = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        assert callable(found)


def test_time_is_that_of_a_function_without_those_within() -> None:
    seconds = 10.0

    def spend(more: float) -> None:
        nonlocal seconds
        seconds += more

    stopwatch = child.Stopwatch(10.0, lambda: (seconds, 2 * seconds))
    inner = stopwatch.timed("inner", lambda: spend(5))

    def work() -> None:
        spend(2)
        inner()

    stopwatch.timed("outer", work)()
    thread = threading.Thread(target=inner)
    thread.start()
    thread.join()
    assert stopwatch.spans == [
        ("inner", True, 2, 5, 10),
        ("outer", True, 0, 2, 4),
        ("inner", False, 7, 5, 10),
    ]


def test_parts_are_told_apart_and_add_up() -> None:
    marks = {
        "first step begins": (10.0, 12.0),
        "first step": (11.0, 14.0),
        "last step": (20.0, 30.0),
        "end": (25.0, 36.0),
    }
    spans = [
        ("imports", True, 0.5, 4.0, 5.0),
        ("scores", True, 5.0, 3.0, 4.0),
        ("scores", True, 15.0, 3.0, 4.0),
        ("scores", True, 20.5, 2.0, 3.0),
        ("plots", False, 22.0, 2.0, 1.0),
    ]
    run = start.Run(marks, spans)
    assert run.total("to the first step") == (11.0, 14.0)
    assert run.total("after the last step") == (5.0, 6.0)
    assert run.rows("to the first step") == {
        "imports": (4.0, 5.0),
        "scores": (3.0, 4.0),
        "the first step, traced": (1.0, 2.0),
        "the rest": (3.0, 3.0),
    }
    assert run.rows("after the last step") == {
        "scores": (2.0, 3.0),
        "beside: plots": (2.0, 1.0),
        "the rest": (3.0, 3.0),
    }
