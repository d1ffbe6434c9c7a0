"""What a notebook shows of a task."""

import warnings

import pytest
from IPython import display
from rich.console import Console

from dce_tf.reports.display import Display
from dce_tf.reports.notebook_bar import notebook_bar


class Cell:
    """Stands in for the output of a cell: keeps what was shown in it, in order."""

    def __init__(self) -> None:
        self.shown: list[dict[str, str]] = []

    def display(self, data: dict[str, str], raw: bool, display_id: bool) -> "Cell":
        assert raw
        assert display_id
        self.shown.append(data)
        return self

    def update(self, data: dict[str, str], raw: bool) -> None:
        assert raw
        self.shown.append(data)


@pytest.fixture
def cell(monkeypatch: pytest.MonkeyPatch) -> Cell:
    output, now = Cell(), [0.0]
    monkeypatch.setattr(display, "display", output.display)
    monkeypatch.setattr("time.monotonic", lambda: now.append(now[-1] + 1) or now[-1])
    return output


def test_bar_moves_and_is_gone_at_the_end(cell: Cell) -> None:
    with notebook_bar("epoch <1>", 40) as update:
        update(1, "loss 0.6")
        update(10, "loss 0.5")
    first, moved, last = cell.shown
    assert first["text/plain"] == "epoch <1>  1/40  loss 0.6"
    assert moved["text/plain"] == "epoch <1>  10/40  loss 0.5"
    assert '<progress value="10" max="40">' in moved["text/html"]
    assert "epoch &lt;1&gt;" in moved["text/html"]
    assert set(last.values()) == {""}


def test_bar_is_gone_where_the_task_fails(cell: Cell) -> None:
    def fail() -> None:
        with notebook_bar("scan", 2) as update:
            update(1, "")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [each["text/plain"] for each in cell.shown] == ["scan  1/2", ""]


def test_a_task_that_is_done_at_once_shows_no_bar(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.monotonic", lambda: 5.0)
    with notebook_bar("scan", 1000) as update:
        for done in range(1000):
            update(done, "")
    assert cell.shown == []


def test_display_shows_the_bar_in_notebooks_without_a_warning(cell: Cell) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with Display(Console(force_jupyter=True)).task("scan", 3, done=1) as update:
            update(2, "")
    assert [each["text/plain"] for each in cell.shown] == ["scan  2/3", ""]
