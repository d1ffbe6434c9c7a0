import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from dce_tf import cli
from dce_tf.datasets.csv_index import read_csv
from dce_tf.doctor.population import Population
from dce_tf.index.embeddings import Header, Part, write_part
from tests import fakes
from tests.doctor.drawn import DIM, unit

CLASSES, EACH = 6, 8


def call(capsys: pytest.CaptureFixture, *words: object) -> tuple[int, str, str]:
    code = cli.main(["doctor", *map(str, words)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def succeed(capsys: pytest.CaptureFixture, *words: object) -> str:
    code, out, err = call(capsys, *words)
    assert (code, err) == (0, "")
    return out


def fail(capsys: pytest.CaptureFixture, *words: object) -> str:
    code, _, err = call(capsys, *words)
    assert code in (1, 2)
    assert err.count("\n") == 1
    return err


class Sick:
    """A data set that leaks, with the embeddings of a model that sees all of it."""

    def __init__(self, root: Path) -> None:
        splits = ("train", "query", "gallery")
        self.root = fakes.write_csv(root / "data", CLASSES, EACH, splits=splits)
        self.output = root / "output"
        self.population = Population.of(read_csv(str(self.root)))
        train, query = (np.flatnonzero(self.population.splits == n) for n in (0, 1))
        self.leak = self.population.paths[train[0]], self.population.paths[query[0]]
        shutil.copy(self.leak[1], self.leak[0])
        middles = np.random.default_rng(0).normal(size=(2 * CLASSES, DIM))
        noise = np.random.default_rng(1).normal(size=(len(self.population), DIM))
        self.vectors = unit(middles[self.population.labels] + 0.8 * noise)
        self.vectors[train[0]] = self.vectors[query[0]]
        self.array = root / "embeddings.npy"
        np.save(self.array, self.vectors)

    @property
    def words(self) -> list[str]:
        return [
            "--dataset=csv",
            f"--data_dir={self.root}",
            f"--output_dir={self.output}",
        ]

    def table(self) -> list[dict[str, str]]:
        with (self.output / "findings.csv").open(newline="") as file:
            return list(csv.DictReader(file))


@pytest.fixture
def sick(tmp_path: Path) -> Sick:
    return Sick(tmp_path)


def test_from_a_leak_to_an_index_without_it(sick: Sick, capsys) -> None:
    out = succeed(capsys, sick.array, *sick.words)
    assert "without leaked images" in out
    rows = sick.table()
    (leak,) = (row for row in rows if row["finding"] == "leak")
    train, query = (Path(path).relative_to(sick.root) for path in sick.leak)
    assert leak["path"] == str(train)
    assert leak["other_path"] == str(query)
    assert (leak["suggestion"], leak["verdict"]) == ("drop", "")
    assert "byte for byte" in leak["text"]
    found = json.loads((sick.output / "doctor.json").read_text())
    assert found["found"]["leak"] == {"findings": 1, "images": 1}
    queries = {name: each["queries"] for name, each in found["scores"].items()}
    assert queries["as it is"] == CLASSES * EACH
    assert queries["without leaked images"] == CLASSES * EACH - 1
    assert (sick.output / "report.html").stat().st_size < 10_000_000
    for row in rows:
        row["verdict"] = row["suggestion"] if row["finding"] == "leak" else ""
    table = sick.output / "findings.csv"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    data = ["data", *sick.words[:2], f"--verdicts={table}", "--max_bad_images=1"]
    data.append(f"--output_dir={sick.root}")
    assert cli.main([*data, f"--make_index={sick.root / 'mended.csv'}"]) == 0
    assert "1 images are left out, and 0" in capsys.readouterr().out
    mended = read_csv(str(sick.root / "mended.csv"))
    assert len(mended.train) == CLASSES * EACH - 1
    assert sick.leak[0] not in mended.train.paths
    assert Path(sick.leak[0]).is_file()
    assert cli.main(data) == 2
    assert "--make_index" in capsys.readouterr().err


def test_a_model_embeds_what_is_looked_at(sick: Sick, capsys, tmp_path: Path) -> None:
    import keras

    inputs = keras.Input((32, 32, 3))
    x = keras.layers.AveragePooling2D(8)(inputs)
    model = keras.Model(inputs, keras.layers.Flatten()(x))
    model.save(tmp_path / "model.keras")
    first = sick.population.paths[-1]
    Path(first).write_bytes(b"no image")
    result = json.loads(
        succeed(capsys, tmp_path / "model.keras", *sick.words, "--json")
    )
    assert result["images"] == 3 * CLASSES * EACH - 1
    assert result["found"]["broken"] == {"findings": 1, "images": 1}
    # Drawn pictures of a class are near to each other, too.
    leaks = [row for row in sick.table() if row["finding"] == "leak"]
    train = str(Path(sick.leak[0]).relative_to(sick.root))
    assert train in {row["path"] for row in leaks}
    assert result["found"]["leak"]["findings"] <= len(leaks)
    folder = sick.root / "images"
    words = [f"--images={folder}", f"--output_dir={sick.output}", "--image_size=32"]
    out = succeed(capsys, tmp_path / "model.keras", *words)
    assert "There are 0 classes" in out
    assert "There is no test" in out
    # In no split, it is a copy and no leak.
    assert sick.table()[0]["finding"] == "duplicate"


def write_parts(sick: Sick, folder: Path, **changed: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    population = sick.population
    paths = [str(Path(path).relative_to(sick.root)) for path in population.paths]
    part = Part(1, 0, int(changed.pop("number", 0)))
    known = {"image_root": str(sick.root), "parts": 0, **changed}
    write_part(
        folder / part.name,
        Header("model", DIM, **known),
        paths,
        paths,
        [population.name(row) for row in range(len(paths))],
        [{"split": population.split(row)} for row in range(len(paths))],
        sick.vectors,
    )
    return folder


def test_embeddings_of_embed_know_their_images(sick: Sick, capsys, tmp_path) -> None:
    folder = write_parts(sick, tmp_path / "parts")
    out = succeed(capsys, folder, f"--output_dir={sick.output}")
    assert "There is no test to score" in out
    assert sick.table()[0]["finding"] == "leak"
    alone = sick.table()
    succeed(capsys, folder, *sick.words)
    assert sick.table() == alone


def test_what_does_not_fit_is_told_with_the_remedy(
    sick: Sick, capsys, tmp_path: Path
) -> None:
    np.save(tmp_path / "few.npy", sick.vectors[:-3])
    said = fail(capsys, tmp_path / "few.npy", *sick.words)
    assert "has 141 rows, and there are 144 images: 48 train, 48 query" in said
    assert "--dataset" in fail(capsys, sick.array)
    said = fail(capsys, sick.array, *sick.words, f"--images={sick.root}")
    assert "do not go together" in said
    said = fail(capsys, sick.array, *sick.words, "--near_cosine=3")
    assert "expected a cosine" in said
    other = write_parts(sick, tmp_path / "other", image_root="/elsewhere")
    said = fail(capsys, other, *sick.words)
    assert "144 of 144 images have no embedding" in said
    assert "embed --split=all" in said
    two = write_parts(sick, tmp_path / "two")
    Path(two, Part(1, 0, 0).name).rename(two / Part(1, 0, 1).name)
    sick.vectors = sick.vectors[:, :DIM]
    folder = write_parts(sick, two)
    header = Header("another", DIM, str(sick.root))
    write_part(
        folder / Part(1, 0, 1).name, header, ["x"], ["x"], ["y"], [{}], sick.vectors[:1]
    )
    assert "expected all of one model" in fail(capsys, folder, *sick.words)


def test_without_files_copies_are_found_by_embedding(sick: Sick, capsys) -> None:
    succeed(capsys, sick.array, *sick.words, "--no_pictures")
    assert sick.table()[0]["text"].startswith("nearly")
    shutil.rmtree(sick.root / "images")
    out = succeed(capsys, sick.array, *sick.words)
    assert "No image files were read" in out
    assert sick.table()[0]["finding"] == "leak"


def test_lists_may_name_classes_and_splits(sick: Sick, capsys, tmp_path) -> None:
    population = sick.population
    lines = ["path,label,split"]
    lines += [
        f"{Path(path).relative_to(sick.root)},one,{population.split(row)}"
        for row, path in enumerate(population.paths)
    ]
    (sick.root / "list.csv").write_text("\n".join(lines))
    words = [f"--images={sick.root / 'list.csv'}", f"--output_dir={sick.output}"]
    out = succeed(capsys, sick.array, *words)
    assert "There are 1 classes, so that labels and classes were not examined" in out
    assert sick.table()[0]["finding"] == "leak"
