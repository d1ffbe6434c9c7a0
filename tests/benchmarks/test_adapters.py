"""The benchmark of adapters runs, and says what trained."""

import sys
from pathlib import Path

import keras
import pytest

from benchmarks import adapters


@pytest.mark.slow
def test_table_has_a_row_for_each_way(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    images = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(16, 1, name="block1")(images)
    keras.Model(images, x).save(tmp_path / "tiny.keras")
    words = "adapters --image_size 32 --batch 8 --rank 2 --steps 2 --rounds 1"
    words += f" --backbone {tmp_path / 'tiny.keras'}"
    monkeypatch.setattr(sys, "argv", words.split())
    adapters.main()
    out = capsys.readouterr().out
    rows = [line.split("|")[1:-1] for line in out.splitlines() if line.startswith("|")]
    found = {row[0].strip(): row[1].strip() for row in rows}
    head = 16 * 128 + 128
    assert found["all"] == f"{head + 3 * 16 + 16:,}"
    assert found["adapters"] == f"{head + 3 * 2 + 2 * 16:,}"
    assert found["frozen"] == f"{head:,}"
