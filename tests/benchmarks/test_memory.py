from pathlib import Path

import keras
import pytest

from benchmarks import memory, photographs
from tests import fakes


@pytest.mark.slow
def test_a_run_says_its_peak(tmp_path: Path) -> None:
    root = fakes.write_csv(tmp_path / "few", 8, 6)
    folder = tmp_path / "run"
    folder.mkdir()
    data_dir = photographs.write_long_list(root, folder, 400, 60)
    backbone = memory.write_backbone(folder / "backbone.keras")
    assert keras.saving.load_model(backbone).output_shape[-1] == memory.FEATURES
    facts = memory.run(list(memory.WAYS)[-1], data_dir, folder, 2)
    assert facts["divisions"] == 2
    assert 200 < facts["peak_mb"] < 4000
