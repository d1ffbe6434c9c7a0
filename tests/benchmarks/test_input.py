from pathlib import Path

import pytest

from benchmarks import input as benchmark
from benchmarks import photographs
from tests import fakes


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    root = fakes.write_csv(tmp_path / "small", 4, 5)
    folder = tmp_path / "large"
    folder.mkdir()
    photographs.write_enlarged(root, folder, 400, 40)
    return [row["path"] for row in photographs.read_index(folder)]


def test_pil_decodes_no_more_than_it_needs(paths: list[str]) -> None:
    assert benchmark.decode_with_pil(paths[0]) == 400
    assert benchmark.decode_draft(paths[0], 48) == 50
    for crop in (
        benchmark.train_with_pil,
        benchmark.evaluate_with_pil,
        benchmark.evaluate_with_draft,
    ):
        assert crop(paths[0], 48) == 48 * 48 * 3


@pytest.mark.slow
def test_our_pipelines_read_every_image(paths: list[str], tmp_path: Path) -> None:
    parts = benchmark.our_parts(paths, 48, 2, tmp_path / "cache")
    assert len(parts) == 5
    for part in parts.values():
        part()
