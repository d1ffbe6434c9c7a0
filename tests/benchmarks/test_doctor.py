from pathlib import Path

import numpy as np
import pytest

from benchmarks import doctor_planting
from benchmarks.doctor import (
    Patient,
    find_by_cleanlab,
    measure_size,
    score_doctor,
    score_hashes,
    score_rows,
)
from benchmarks.doctor_planting import Planted, plant
from dce_tf.datasets.csv_index import read_csv
from dce_tf.doctor.pictures import look_at
from dce_tf.doctor.population import Population
from tests import fakes
from tests.doctor.drawn import DIM, unit

CLASSES, EACH = 12, 10


@pytest.fixture
def base(tmp_path: Path) -> Population:
    root = fakes.write_csv(tmp_path / "data", CLASSES, EACH)
    return Population.of(read_csv(str(root)))


@pytest.fixture
def planted(base: Population, tmp_path: Path, monkeypatch) -> Planted:
    for name in ("LEAKS", "STRAYS", "ODD"):
        monkeypatch.setattr(doctor_planting, name, 4)
    (tmp_path / "new").mkdir()
    return plant(base, base.paths[:10], tmp_path / "new", 0)


def test_what_is_planted_is_there(base: Population, planted: Planted) -> None:
    population = planted.population
    assert {kind: len(pairs) for kind, pairs in planted.pairs.items()} == {
        "duplicate, exact": 1,
        "duplicate, near": 1,
        "leak, exact": 2,
        "leak, near": 2,
    }
    for kind, pairs in planted.pairs.items():
        for copy, original in pairs:
            one, other = (Path(population.paths[row]) for row in (copy, original))
            assert (one.read_bytes() == other.read_bytes()) == kind.endswith("exact")
            splits = population.split(copy), population.split(original)
            leaks = kind.startswith("leak")
            assert splits == (("train", "test") if leaks else (splits[1], splits[1]))
    assert len(planted.wrong) == round(0.05 * len(base))
    trained = {base.name(row) for row in np.flatnonzero(base.splits == 0)}
    for row, name in planted.wrong.items():
        assert population.name(row) != name
        assert (name.removesuffix(" again") in trained) == (
            population.split(row) == "train"
        )
    names = {population.name(row) for row in range(len(population))}
    assert all(pair <= names for pair in planted.twins)
    assert len(planted.twins) == len(planted.joined) == 3
    assert all(len(rows) == 4 for rows in planted.odd.values())
    assert all(Path(path).is_file() for path in population.paths)


def test_scores_by_hand() -> None:
    score = score_rows([1, 2, 3, 4], [1, 2, 7, 8, 9], [2, 8])
    assert score.cells() == ["4", "2", "0.50", "5", "1", "0.40", "0.50"]
    assert score_rows([1], [], None).cells() == ["1", "0", "0.00", "0", "", "–", ""]


def test_every_way_finds_what_is_byte_for_byte(
    base: Population, planted: Planted
) -> None:
    def patient(population: Population, found: np.ndarray) -> Patient:
        return Patient(population, found, look_at(population.paths, max_pixels=10**6))

    rng = np.random.default_rng(0)
    well = patient(base, unit(rng.normal(size=(len(base), DIM))))
    known = base.row_of
    sick = unit(rng.normal(size=(len(planted.population), DIM)))
    for row, path in enumerate(planted.population.paths):
        if path in known:
            sick[row] = well.features[known[path]]
    for pairs in planted.pairs.values():
        for copy, original in pairs:
            sick[copy] = sick[original]
    ill = patient(planted.population, sick)
    scores = score_doctor(planted, ill, well)
    assert scores["duplicate, exact"].found == 1
    assert scores["leak, exact"].found == 2
    assert scores["leak"].right <= scores["leak"].flagged
    assert scores["empty"].found == 4
    assert score_hashes(planted, ill, well, 4)["leak, exact"].found == 2
    doubted = find_by_cleanlab(ill)
    assert isinstance(doubted, list) or "requirements-benchmarks.txt" in doubted


def test_drawn_embeddings_are_examined(capsys: pytest.CaptureFixture) -> None:
    measure_size(2000)
    out = capsys.readouterr().out
    assert "2,000 embeddings of 128" in out
    (line,) = (line for line in out.splitlines() if line.startswith("|  "))
    assert [cell.strip() for cell in line.split("|")][-3:-1] == ["10", "10"]
