"""The benchmark of micro-batches runs, and says what it was asked for."""

import sys

import pytest

from benchmarks import micro_batch


@pytest.mark.slow
def test_table_has_a_row_for_each_setting(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "micro_batch --image_size 32 --batches 16 --sizes 0 4 --steps 2"
    monkeypatch.setattr(sys, "argv", words.split())
    micro_batch.main()
    out = capsys.readouterr().out
    assert "small at 32 pixels" in out
    rows = [line.split("|")[1:3] for line in out.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in row] for row in rows]
    assert ["16", "–"] in cells
    assert ["16", "4"] in cells
